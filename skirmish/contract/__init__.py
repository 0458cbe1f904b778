"""From unit states to what agents see, may do and are paid: SMAC's and SMACv2's contracts."""
