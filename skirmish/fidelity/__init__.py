"""How near to real StarCraft II games the simulator fights: targets, measurement, calibration."""
