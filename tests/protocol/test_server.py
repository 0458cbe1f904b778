"""Lives and deaths of server processes, and several side by side."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

pytest.importorskip("s2clientprotocol", reason="needs the packages of requirements-starcraft.lock")
pytest.importorskip("websockets", reason="needs the packages of requirements-starcraft.lock")

from tests.protocol.server import ROOT, SECONDS, Client, environment, start

PARENT = """
import subprocess, sys, time
serve = [sys.executable, "-m", "skirmish", "serve", "-port", "0"]
child = subprocess.Popen(serve, stdout=subprocess.PIPE, text=True)
print(child.pid, child.stdout.readline(), flush=True)
time.sleep(600)
"""
CLIENT = """
import sys, time
from tests.protocol.server import Client
Client(int(sys.argv[1])).begin("3m")
print("in game", flush=True)
time.sleep(600)
"""


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ends(pid: int) -> bool:
    limit = time.monotonic() + SECONDS
    while alive(pid) and time.monotonic() < limit:
        time.sleep(0.05)
    return not alive(pid)


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_quit_is_answered_and_ends_the_process(tmp_path):
    folder = tmp_path / "temp"
    folder.mkdir()
    process, port = start("-tempDir", f"{folder}/")
    client = Client(port)
    assert client.ask(quit={}).status == 6
    assert process.wait(SECONDS) == 0 and is_free(port)
    assert not folder.exists()
    client.close()
    process.stdout.close()


def test_side_by_side_servers_play_their_own_games_and_end_with_their_clients(client):
    client.ask(leave_game={})
    process, port = start()
    other = Client(port)
    for seed, one in enumerate((client, other)):
        one.begin("3m", seed)
        one.ask(step={"count": seed})
    assert [c.ask(observation={}).observation.observation.game_loop for c in (client, other)] == [0, 1]
    assert [u.pos.x for u in client.units()[0]] != [u.pos.x for u in other.units()[0]]
    other.close()
    assert process.wait(SECONDS) == 0 and is_free(port)
    process.stdout.close()
    assert client.ask(leave_game={}).status == 1


def test_a_server_ends_when_its_client_is_killed():
    process, port = start()
    client = subprocess.Popen(
        [sys.executable, "-c", CLIENT, str(port)], stdout=subprocess.PIPE, text=True, env=environment(), cwd=ROOT
    )
    assert client.stdout.readline() == "in game\n"
    client.kill()
    client.wait()
    assert process.wait(SECONDS) == 0 and is_free(port)
    client.stdout.close()
    process.stdout.close()


def test_a_server_ends_when_its_parent_dies():
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, env=environment(), cwd=ROOT
    )
    pid, *_, address = parent.stdout.readline().split()
    assert alive(int(pid))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert ends(int(pid)) and is_free(int(address.rsplit(":", 1)[1]))
    parent.stdout.close()


def test_other_paths_are_not_found_and_do_not_end_the_server():
    process, port = start()
    stranger = Client(port, "/elsewhere")
    assert "404" in stranger.greeting
    stranger.close()
    with socket.create_connection(("127.0.0.1", port)) as silent:
        silent.sendall(b"nonsense\r\n\r\n")
    client = Client(port)
    assert "101" in client.greeting and client.ask(ping={}).status == 1
    client.close()
    assert process.wait(SECONDS) == 0
    process.stdout.close()


def test_it_listens_on_the_loopback_interface_only(client):
    port = client.socket.getpeername()[1]
    with open("/proc/net/tcp", encoding="utf-8") as file:
        rows = [line.split() for line in file]
    mine = [row[1] for row in rows[1:] if row[3] == "0A" and row[1].endswith(f":{port:04X}")]
    assert mine == [f"0100007F:{port:04X}"]


def test_a_taken_port_is_an_error():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        command = [sys.executable, "-m", "skirmish", "serve", "-port", str(taken.getsockname()[1])]
        done = subprocess.run(command, capture_output=True, text=True, env=environment())
    assert done.returncode == 2 and "in use" in done.stderr


def test_no_file_is_left_open_by_many_games(client):
    client.begin("3m")
    folder = f"/proc/{client.process.pid}/fd"
    before = len(os.listdir(folder))
    for seed in range(20):
        client.ask(leave_game={})
        client.begin("3m", seed)
        client.ask(step={"count": 8})
    assert len(os.listdir(folder)) == before
