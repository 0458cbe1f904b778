"""The official `smac` and `smacv2` packages in processes of their own: what stands behind `envs.smac`."""
