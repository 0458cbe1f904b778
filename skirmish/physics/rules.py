"""The holes of the public facts, each closed by a named constant with its reason.

Unit data are facts and live in `data/`; what happens between units in the game engine is only partly documented. Every
choice made where the facts end is a field of `Rules`, so that its influence can be measured (`python -m skirmish
sensitivity`) and a better value can be put in without touching the kernels.
"""

from __future__ import annotations

from dataclasses import dataclass

from skirmish.checks import require_known

GROUND_HOLDINGS = ("never", "busy", "engaged")
SHOOT_RANGE = 6.0  # fact: SMAC's own mask, centre to centre, inclusive
SIGHT_RANGE = 9.0  # fact: SMAC's own sight, centre to centre, exclusive


@dataclass(frozen=True)
class Rules:
    """Choices of the embedded simulator. Times in game loops, lengths in world units."""

    # Units of one creation call appear on one point and the engine pushes them to free spots; pattern unknown. Here:
    # the free spots of a triangular lattice nearest to the point, columns running north-south, so that the front of a
    # small team lies on the point itself, as the derived timing facts assume.
    placement_gap: float = 0.15  # between neighbours: fitted
    # Whether the pattern varies between battles is unknown; open-loop policies win SMAC maps, so it cannot vary much.
    # Without any variation mirror battles are sharp-edged: 3s5z goes from 0 to 1 with single loops. Fitted.
    placement_jitter: float = 0.15  # each coordinate is shifted uniformly by at most this
    # From the second episode of a game on, the old units are killed by a debug command and two loops pass before the
    # first observation; the new enemy may already march in them. "Up to 2" is known, the upper end is taken.
    respawn_loops: int = 2
    # Fact: jitter of -1 to +2 loops on each cooldown; shape unknown, uniform assumed (the engine's usual meaning). The
    # scale multiplies the jitter and exists for sensitivity studies only.
    jitter_scale: float = 1.0
    # A cooldown that ends between two loops: True carries the fraction into the next one, so that the mean period is
    # kept.
    carry_fraction: bool = True
    # Auto-acquisition reaches this far beyond max(range, scan range): fitted to how long the last random agents live.
    acquire_beyond: float = 1.5
    # Auto-acquisition within that radius: measured to edges like weapon ranges (True) or between centres (False).
    acquire_to_edge: bool = True
    # A target out of weapon range is kept while it is within the acquisition radius (True), or given up for the
    # nearest one (False).
    keep_acquired: bool = False
    # Explosions and beams reach units whose edge (True) or whose centre lies in their area.
    splash_to_edge: bool = True
    # Loops between two searches for a target when the last found none. Engines spread such scans; one per loop is the
    # limit in which nobody walks past a target.
    scan_interval: int = 1
    # A unit that acts on its own stands through the backswing before it walks on; a new order cancels it (fact).
    backswing_holds: bool = True
    # Group orders keep the formation of a compact group: everybody's goal is the point plus the own offset at creation.
    formation_move: bool = True
    # Enemies prefer agents that are attacking to agents that are not, then take the nearest. Evidence: alternating fire
    # wins 2m_vs_1z in ten of ten real games, and never without this rule.
    threats_first: bool = True
    # An enemy leaves a target that it could shoot for one that is attacking, at most this far beyond its weapon range
    # (and within the acquisition radius); negative: never. Fitted to the heuristic on 3s5z and to what QMIX learns on
    # 2m_vs_1z.
    threat_reach: float = 0.1
    # A hit enemy whose target is out of weapon range turns on the shooter; without it only enemies without a target do.
    retaliation: bool = False
    # Calls for help reach friends that walk without a target, not only idle ones.
    help_reaches_walkers: bool = False
    # Whose ground is held against friends that push: nobody's ("never"), that of units that wind up or are in backswing
    # ("busy"), or that of all who stand with a target in range ("engaged"). The need is known, the numbers are fitted.
    ground_holding: str = "busy"
    # Part of an overlap that a mover gives way to a unit that holds its ground, to an idle friend, to an idle foe.
    yield_to_holders: float = 0.8
    yield_to_idle_friends: float = 0.0
    yield_to_idle_foes: float = 1.0
    # How rigid units are in a crowd, all three fitted: passes in one loop over the pairs that overlap, or are at most
    # the margin apart, once everybody has stepped; and by which part of its overlap a pair is parted in a pass (over 1:
    # a little further, for what presses from behind pushes it back). Whom a pair is pushed into beyond the margin
    # follows in the next loop.
    push_passes: int = 2
    push_margin: float = 0.1
    push_factor: float = 1.3
    # Movers go round those who stand and fight, in steps of 45 degrees, and press on where there is no way round. The
    # engine's local avoidance is unknown; without it zerglings do not get round zealots in corridor.
    steer_around: bool = True
    # Unit centres stay this far inside the cliff line: 0.5 to 1 is plausible; 1 is the walkable flag layer itself.
    cliff_clearance: float = 1.0
    # The enemy's medivac has no attack that an attack-move could use: it follows the order as a scan-move, healing on
    # the way (True), or idles where it was created (False).
    enemy_medivac_follows: bool = True
    # An order to attack a group goes to the nearest member when it is given. When that one is dead the unit idles and
    # acquires what comes near (False) or attacks the nearest member left (True).
    group_order_moves_on: bool = False
    # Units turn before they walk or fire (62.5 degrees a loop, the crawler's tentacle 22.5): a fact, to be switched off
    # only to see what it does. Braking of the medivac is neglected.
    turning: bool = True

    def __post_init__(self) -> None:
        """Raises: ValueError for values without a meaning."""
        if not 0.0 <= self.placement_jitter <= 1.0:
            raise ValueError(f"placement_jitter must lie in [0, 1], got {self.placement_jitter!r}: it is a length")
        if not 0.5 <= self.cliff_clearance <= 1.0:
            raise ValueError(
                f"cliff_clearance must lie in [0.5, 1], got {self.cliff_clearance!r}: 1 keeps to the walkable cells"
            )
        if not -1.0 <= self.threat_reach <= 9.0:
            raise ValueError(f"threat_reach must lie in [-1, 9], got {self.threat_reach!r}: a length, -1 for never")
        require_known("ground_holding", self.ground_holding, GROUND_HOLDINGS)
        for name in ("yield_to_holders", "yield_to_idle_friends", "yield_to_idle_foes"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)!r}: it is a part of an overlap")
        if self.push_passes < 1:
            raise ValueError(f"push_passes must be at least 1, got {self.push_passes!r}: it counts passes in one loop")
        if not 0.0 <= self.push_margin <= 1.0:
            raise ValueError(f"push_margin must lie in [0, 1], got {self.push_margin!r}: it is a length")
        if not 0.5 <= self.push_factor < 2.0:
            raise ValueError(f"push_factor must lie in [0.5, 2), got {self.push_factor!r}: 1 parts a pair just so")
        if not 0.0 <= self.acquire_beyond <= 9.0:
            raise ValueError(f"acquire_beyond must lie in [0, 9], got {self.acquire_beyond!r}: it is a length")
        if self.scan_interval < 1:
            raise ValueError(f"scan_interval must be at least 1, got {self.scan_interval!r}: it counts game loops")
        if self.respawn_loops < 0:
            raise ValueError(f"respawn_loops must be at least 0, got {self.respawn_loops!r}: it counts game loops")
        if not 0.0 <= self.jitter_scale <= 1.0:
            raise ValueError(f"jitter_scale must lie in [0, 1], got {self.jitter_scale!r}: 1 is the fact, 0 no jitter")
