"""Game loops of the embedded simulator: tables, random draws, fighting, moving, orders, and the loop itself."""
