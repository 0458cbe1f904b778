"""Value decomposition with a shared recurrent agent and whole-episode replay: IQL, VDN, QMIX, QPLEX."""
