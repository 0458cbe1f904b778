"""Policy gradients with a clipped surrogate and a recurrent actor and critic: MAPPO and IPPO."""
