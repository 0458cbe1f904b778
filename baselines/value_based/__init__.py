"""Value decomposition with a shared recurrent agent, whole-episode replay and a pluggable mixer (QMIX)."""
