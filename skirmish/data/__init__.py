"""What is fought with and where: units by game version, maps, terrains."""
