#!/usr/bin/env bash
# A Slurm of one machine for `make test-slurm`:  daemons.sh install | start | stop | run COMMAND...
#
# `run` starts the daemons, runs the command and stops them, whatever comes of it. The configuration must be reachable as
# /etc/slurm/slurm.conf, where the executor's job steps look for it (they drop SLURM_* variables): a link is put there, and a
# machine that has a Slurm of its own is left alone.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
state=/tmp/mazero-bench-slurm
conf=/etc/slurm/slurm.conf

fail() { echo "error: $*" >&2; exit 2; }

installed() { command -v slurmctld && command -v slurmd && command -v munged; } >/dev/null

need_root() { [ "$(id -u)" = 0 ] || fail "a Slurm for tests needs root, got user $(id -un): run it as root, best in a container"; }

install() {
  need_root
  installed && return
  command -v apt-get >/dev/null || fail "no slurmctld, slurmd and munged here, nor apt-get: install Slurm and munge first"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 slurm-wlm munge >/dev/null
}

start() {
  need_root
  installed || fail "no slurmctld, slurmd and munged here: daemons.sh install"
  if [ -e "$conf" ] && [ "$(readlink "$conf")" != "$state/slurm.conf" ]; then
    fail "$conf is there already: this machine has a Slurm, use profiles/slurm on it as it is"
  fi
  mkdir -p "$state"/{munge,controller,node} "$(dirname "$conf")"
  chmod 755 "$state" "$state/munge" # munged refuses what others may write to
  memory=$(awk '/MemTotal/ {printf "%d", $2 / 1024 * 0.9}' /proc/meminfo)
  sed -e "s|@HOST@|$(hostname -s)|g" -e "s|@CPUS@|$(env -u OMP_NUM_THREADS nproc)|g" -e "s|@MEMORY@|$memory|g" \
    -e "s|@STATE@|$state|g" "$here/slurm.conf.in" >"$state/slurm.conf"
  ln -sfn "$state/slurm.conf" "$conf"
  unset SLURM_CONF
  (umask 077 && head -c 128 /dev/urandom >"$state/munge/key")
  munged --force --socket="$state/munge/socket" --key-file="$state/munge/key" --pid-file="$state/munge/munged.pid" \
    --log-file="$state/munge/munged.log" --seed-file="$state/munge/seed"
  slurmctld -c # nothing of an earlier start counts
  slurmd -c
  for _ in $(seq 100); do
    [ "$(sinfo -h -o %t 2>/dev/null)" = idle ] && return
    sleep 0.2
  done
  tail -n 20 "$state"/slurmctld.log "$state"/slurmd.log >&2
  stop
  fail "the node did not become idle within 20 seconds: see the logs above"
}

stop() {
  squeue --noheader --format=%i 2>/dev/null | xargs --no-run-if-empty scancel || true
  for _ in $(seq 200); do # until the processes of cancelled jobs are gone
    [ -n "$(squeue --noheader 2>/dev/null)" ] || break
    sleep 0.2
  done
  for file in "$state"/slurmd.pid "$state"/slurmctld.pid "$state"/munge/munged.pid; do
    [ -s "$file" ] || continue
    pid=$(cat "$file")
    kill "$pid" 2>/dev/null || true
    for _ in $(seq 100); do
      kill -0 "$pid" 2>/dev/null || break
      sleep 0.1
    done
  done
  [ "$(readlink "$conf")" != "$state/slurm.conf" ] || rm "$conf"
  rm -rf "$state"
}

run() {
  trap stop EXIT
  start
  "$@"
}

case ${1:-} in
  install | start | stop) "$1" ;;
  run) shift && run "$@" ;;
  *) fail "expected install, start, stop or run COMMAND, got '${1:-}'" ;;
esac
