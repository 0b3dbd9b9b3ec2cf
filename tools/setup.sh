#!/usr/bin/env bash
# Everything that `make demo` and `make test` need, from an empty machine: system libraries,
# a virtual environment, the pinned packages, facekit itself. Safe to run again.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=.venv
python=${PYTHON:-python3}

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# System libraries that the wheels of Open3D (first three) and OpenCV (last) load at run time.
declare -A package_of=(
  [libusb-1.0.so.0]=libusb-1.0-0
  [libGL.so.1]=libgl1
  [libgomp.so.1]=libgomp1
  [libglib-2.0.so.0]=libglib2.0-0
)
missing=()
cache=$(PATH="$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null || true)
for library in "${!package_of[@]}"; do
  grep -qF "$library" <<<"$cache" || missing+=("${package_of[$library]}")
done
command -v "$python" >/dev/null || missing+=(python3)
if command -v "$python" >/dev/null && ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  missing+=(python3-venv)
fi

if ((${#missing[@]})); then
  if ! command -v apt-get >/dev/null; then
    fail "these system libraries are missing; install your distribution's ${missing[*]} and run again"
  elif [ "$(id -u)" = 0 ]; then
    as_root=()
  elif sudo -n true 2>/dev/null; then
    as_root=(sudo -n)
  else
    fail "these system libraries are missing; run: sudo apt-get install ${missing[*]}"
  fi
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  "${as_root[@]}" apt-get update -qq
  # the 64-bit time_t releases of Debian and Ubuntu renamed libglib2.0-0; apt follows the old name
  "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  fail "Python 3.11 or newer is needed; name one with: make demo PYTHON=python3.12"

[ -x "$venv/bin/python" ] && "$venv/bin/python" -c '' 2>/dev/null || "$python" -m venv --clear "$venv"
pip=("$venv/bin/python" -m pip --disable-pip-version-check --quiet)
say "installing the pinned packages (first time: about 1 GB)"
"${pip[@]}" install --upgrade 'pip>=25.1'
torch=$(grep -E '^torch==' constraints.txt)
cpu_index=https://download.pytorch.org/whl/cpu
reachable() {
  "$venv/bin/python" -c 'import sys, urllib.request as u; u.urlopen(sys.argv[1], timeout=10)' \
    "$1" 2>/dev/null
}
if command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q GPU; then
  "${pip[@]}" install "$torch"
elif reachable "$cpu_index/torch/"; then # the CPU build is a tenth of the size
  "${pip[@]}" install --extra-index-url "$cpu_index" "$torch"
else
  "${pip[@]}" install "$torch"
fi
"${pip[@]}" install --constraint constraints.txt --editable '.[cluster,exr,raw,train,view]' --group dev
sha256sum pyproject.toml constraints.txt tools/setup.sh >"$venv/.ready"
say "done"
