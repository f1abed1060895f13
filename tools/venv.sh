# Sourced by the tools: makes or reuses .venv and installs this checkout into it. Sets $bin.
#   make_venv EXTRA     EXTRA is empty or the name of an optional dependency group
# Installing happens only when pyproject.toml, the constraints or the extra have changed since the last time.

make_venv() {
    extra=${1:-}
    bin=.venv/bin
    if ! "$bin/python" -m pip --version >/dev/null 2>&1; then
        rm -rf .venv
        python=$(find_python) || return 1
        # Debian's python3 comes without ensurepip; its pip can fill an environment from outside
        "$python" -m venv .venv 2>/dev/null || {
            rm -rf .venv
            "$python" -m venv --without-pip .venv && "$python" -m pip --python .venv/bin/python install -q pip
        } || { echo "cannot make a virtual environment: install pip, or python3-venv" >&2; return 1; }
    fi
    stamp=$(cat pyproject.toml tools/constraints.txt | sha256sum | cut -c1-16)
    grep -qx "$stamp.$extra" .venv/installed 2>/dev/null && return 0
    echo "installing mot into .venv (the first time this takes some minutes)"
    "$bin/python" -m pip install -q --disable-pip-version-check -c tools/constraints.txt \
        -e ".${extra:+[$extra]}" || return 1
    { echo "$stamp."; echo "$stamp.$extra"; } >> .venv/installed
}

find_python() {
    for name in python3 python3.14 python3.13 python3.12 python3.11 python; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    echo "needs Python 3.11 or newer" >&2
    return 1
}
