"""The game as its clients see it: a status machine and one answer to every request."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np

from skirmish.data.units import DEFAULT_VERSION
from skirmish.protocol import views
from skirmish.protocol.battle import Battle
from skirmish.protocol.messages import Messages
from skirmish.protocol.orders import carry_out
from skirmish.protocol.scene import MAP_FOLDER, SUFFIX, Scene, find_scene, map_files

logger = logging.getLogger(__name__)

LAUNCHED, INIT_GAME, IN_GAME, ENDED, QUIT = "launched", "init_game", "in_game", "ended", "quit"
ANYTIME = (LAUNCHED, INIT_GAME, IN_GAME, ENDED)
# Request -> statuses in which it may come.
SERVED: dict[str, tuple[str, ...]] = {
    "create_game": (LAUNCHED, ENDED, IN_GAME),
    "join_game": (INIT_GAME,),
    "restart_game": (IN_GAME, ENDED),
    "leave_game": (IN_GAME, ENDED),
    "quit": ANYTIME,
    "game_info": (IN_GAME, ENDED),
    "observation": (IN_GAME, ENDED),
    "action": (IN_GAME,),
    "step": (IN_GAME,),
    "data": (IN_GAME, ENDED),
    "save_replay": (IN_GAME, ENDED),
    "available_maps": ANYTIME,
    "ping": ANYTIME,
    "debug": (IN_GAME,),
}
MOST_LOOPS = 100_000  # of one step request
PARTICIPANT, COMPUTER = 1, 2
RANDOM_RACE = 4
VICTORY, DEFEAT = 1, 2


class Refusal(ValueError):
    """A request that is answered with an error; the game goes on."""


class Game:
    """One game at a time. `answer` takes a request's bytes and returns the response's."""

    def __init__(self, messages: Messages, version: str = DEFAULT_VERSION) -> None:
        """Nothing is created yet. Args: version: of the unit data."""
        self.messages, self.version = messages, version
        self.status = LAUNCHED
        self.battle: Battle | None = None
        self._statuses = messages.enum("Status")
        self._results = messages.enum("ActionResult")
        self._seed = 0
        self._scene: Scene | None = None
        self._players: list[dict[str, int]] = []
        self._options: Any = None
        self._observer: views.Observer | None = None
        self._outcome: list[tuple[int, int]] = []
        self._tables: dict[tuple[str, bytes], Any] = {}  # answers to data, by map and request: they never change

    def answer(self, received: bytes) -> bytes:
        """The response to a request; what is not understood or not served is answered with an error."""
        response, number = self.messages.Response(), None
        try:
            request = self._parsed(received)
            number = request.id if request.HasField("id") else None
            name = request.WhichOneof("request")
            self._check(name)
            handler: Callable[[Any, Any], None] = getattr(self, f"_{name}")
            handler(getattr(request, name), getattr(response, name))
            getattr(response, name).SetInParent()
        except Refusal as refusal:
            response = self.messages.Response(error=[str(refusal)])
        except Exception as error:  # as in the game, a fault in one request is the client's to deal with
            logger.exception("request failed")
            response = self.messages.Response(error=[f"the stand-in failed: {type(error).__name__}: {error}"])
        if number is not None:
            response.id = number
        response.status = self._statuses[self.status]
        encoded: bytes = response.SerializeToString()
        return encoded

    def _parsed(self, received: bytes) -> Any:
        try:
            return self.messages.Request.FromString(received)
        except Exception as error:  # DecodeError, which is another class in every implementation of protobuf
            raise Refusal(f"a request must be a SC2APIProtocol.Request, got {len(received)} bytes: {error}") from error

    def _check(self, name: str | None) -> None:
        if name is None:
            raise Refusal("the request is empty")
        if name not in SERVED:
            raise Refusal(f"{name} is not served here: this is the skirmish stand-in, not StarCraft II")
        if self.status not in SERVED[name]:
            if self.status == ENDED:
                raise Refusal(f"Game has already ended: {name} is not valid")
            raise Refusal(f"{name} is not valid while {self.status}, only in {', '.join(SERVED[name])}")

    def _create_game(self, request: Any, response: Any) -> None:
        error, details = self._creation_error(request)
        if error:
            response.error = self.messages.enum("ResponseCreateGame.Error")[error]
            response.error_details = details
            return
        path = request.local_map.map_path
        self._scene = find_scene(path, self.version)
        # As in the game: without a seed every game is another one.
        fresh = int(np.random.SeedSequence().generate_state(1, np.uint32)[0])
        self._seed = request.random_seed if request.HasField("random_seed") else fresh
        self._players = []
        for number, setup in enumerate(sorted(request.player_setup, key=lambda p: p.type), start=1):
            fields = {"player_id": number, "type": setup.type, "race_requested": setup.race or RANDOM_RACE}
            if setup.type == COMPUTER:
                fields |= {"race_actual": setup.race or RANDOM_RACE, "difficulty": setup.difficulty or 1}
            self._players.append(fields)
        self.battle, self._outcome = None, []
        self.status = INIT_GAME

    def _creation_error(self, request: Any) -> tuple[str, str]:
        """Name of an error and what it says, or two empty texts."""
        if not request.HasField("local_map"):
            return "MissingMap", "a local map is needed: battle.net maps are not served here"
        if not request.local_map.map_path:
            return "InvalidMapPath", "map_path is empty: maps are known by the names of their files"
        try:
            find_scene(request.local_map.map_path, self.version)
        except ValueError as error:
            return "InvalidMapPath", str(error)
        kinds = [setup.type for setup in request.player_setup]
        if not kinds:
            return "MissingPlayerSetup", "a participant is needed"
        if kinds.count(PARTICIPANT) > 1:
            return "MultiplayerUnsupported", "only one participant is served here"
        if sorted(kinds) not in ([PARTICIPANT], [PARTICIPANT, COMPUTER]):
            return "InvalidPlayerSetup", "one participant and at most one computer are served here"
        if request.realtime:
            return "InvalidPlayerSetup", "realtime is not served here"
        return "", ""

    def _join_game(self, request: Any, response: Any) -> None:
        errors = self.messages.enum("ResponseJoinGame.Error")
        if not request.WhichOneof("participation") == "race":
            response.error, response.error_details = errors["MissingParticipation"], "a race is needed: no observers"
        elif not request.HasField("options"):
            response.error, response.error_details = errors["MissingOptions"], "options are needed"
        elif request.options.HasField("feature_layer") or request.options.HasField("render"):
            response.error = errors["FeatureUnsupported"]
            response.error_details = "only the raw interface is served here: no feature layers, no rendering"
        else:
            self._options = self.messages.InterfaceOptions.FromString(request.options.SerializeToString())
            self._players[0] |= {"race_requested": request.race, "race_actual": request.race}
            self._start()
            response.player_id = 1

    def _start(self) -> None:
        assert self._scene is not None
        self.battle = Battle(self._scene, self._seed)
        self._observer = views.Observer(self.messages, self._scene)
        self._outcome = []
        self.status = IN_GAME

    def _restart_game(self, request: Any, response: Any) -> None:
        """The same battles again: the seed begins anew."""
        self._start()
        response.need_hard_reset = False

    def _leave_game(self, request: Any, response: Any) -> None:
        self.battle, self._observer, self.status = None, None, LAUNCHED

    def _quit(self, request: Any, response: Any) -> None:
        self.status = QUIT

    def _game_info(self, request: Any, response: Any) -> None:
        assert self._scene is not None
        response.CopyFrom(views.game_info(self.messages, self._scene, self._players, self._options))

    def _data(self, request: Any, response: Any) -> None:
        assert self._scene is not None
        key = (self._scene.name, request.SerializeToString(deterministic=True))
        if key not in self._tables:
            self._tables[key] = views.data(self.messages, self._scene, request)
        response.CopyFrom(self._tables[key])

    def _observation(self, request: Any, response: Any) -> None:
        assert self.battle is not None and self._observer is not None
        self._observer.observe(self.battle, self._outcome, response)

    def _action(self, request: Any, response: Any) -> None:
        assert self.battle is not None
        self.battle.touch()
        for action in request.actions:
            if action.action_raw.HasField("unit_command"):
                result = carry_out(self.battle, action.action_raw.unit_command)
            elif action.HasField("action_chat"):
                result = "Success"  # nobody listens
            else:
                result = "NotSupported"
            response.result.append(self._results[result])

    def _step(self, request: Any, response: Any) -> None:
        assert self.battle is not None
        loops = request.count if request.HasField("count") else 1
        if loops > MOST_LOOPS:
            raise Refusal(f"count must be at most {MOST_LOOPS}, got {loops}: ask several times")
        self.battle.run(loops)
        response.simulation_loop = self.battle.game_loop

    def _save_replay(self, request: Any, response: Any) -> None:
        """A film of the battle under way. Raises: Refusal if the packages for films are missing."""
        assert self.battle is not None
        from skirmish.protocol.film import film  # imported late: drawing is rarely wanted

        if self.battle.empty:
            raise Refusal("there is no battle to film: units must be created first")
        try:
            response.data = film(self.battle)
        except ImportError as error:
            raise Refusal(str(error)) from error
        logger.warning("save_replay: the data are a film (GIF), not a replay of StarCraft II: name the file .gif")

    def _available_maps(self, request: Any, response: Any) -> None:
        response.local_map_paths.extend(f"{MAP_FOLDER}/{name}{SUFFIX}" for name in map_files())

    def _ping(self, request: Any, response: Any) -> None:
        response.CopyFrom(views.ping(self.messages, self.version))

    def _debug(self, request: Any, response: Any) -> None:
        for command in request.debug:
            what = command.WhichOneof("command")
            if what == "kill_unit":
                self._kill(command.kill_unit.tag)
            elif what == "create_unit":
                self._create_unit(command.create_unit)
            elif what == "end_game":
                self._end_game(command.end_game)
            elif what != "draw":  # there is no window to draw into
                raise Refusal(f"debug command {what} is not served here: kill_unit, create_unit, end_game and draw are")

    def _kill(self, tags: Any) -> None:
        """Unknown tags are ignored, as in the game."""
        assert self.battle is not None
        self.battle.kill([self.battle.index[tag] for tag in tags if tag in self.battle.index])

    def _create_unit(self, request: Any) -> None:
        assert self.battle is not None and self._scene is not None
        if request.owner not in (1, 2):
            raise Refusal(f"owner must be 1 or 2, got {request.owner}")
        if not (np.isfinite(request.pos.x) and np.isfinite(request.pos.y)):
            raise Refusal("a unit must be created at a point")
        try:
            name = self._scene.type_of(request.unit_type, request.owner)
            for _ in range(request.quantity if request.HasField("quantity") else 1):
                self.battle.create(name, agent=request.owner == 1, x=request.pos.x, y=request.pos.y)
        except ValueError as error:
            raise Refusal(str(error)) from error

    def _end_game(self, request: Any) -> None:
        """Surrender (1) or declare victory (2)."""
        won = request.end_result == 2
        self._outcome = [(1, VICTORY if won else DEFEAT), (2, DEFEAT if won else VICTORY)]
        self.status = ENDED
