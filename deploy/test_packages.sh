#!/bin/sh
# Puts Debian's Prometheus, Alertmanager, Redis, slowhttptest, nginx, HAProxy, Chromium and libibverbs
# there for the tests, where that can be done:
# as root, with apt. Says what is left out elsewhere; with CI=true absence is a failure.
set -eu

missing=""
for pair in prometheus:prometheus promtool:prometheus prometheus-alertmanager:prometheus-alertmanager \
  amtool:prometheus-alertmanager redis-server:redis-server slowhttptest:slowhttptest \
  nginx:nginx-light haproxy:haproxy chromium:chromium; do
  command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair##*:}"
done
# Mooncake's transfer engine, a Python package, links to it.
ldconfig -p 2>/dev/null | grep -q 'libibverbs\.so\.1' || missing="$missing libibverbs1"
missing=$(printf '%s\n' $missing | sort -u)
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  log=$(mktemp)
  trap 'rm -rf "$log" "${guard:-}"' EXIT
  echo "Installing for the tests:" $missing
  # A package must not start its service; where nothing forbids that yet, we do while we install.
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    guard=/usr/sbin/policy-rc.d
    printf '#!/bin/sh\nexit 101\n' >"$guard"
    chmod +x "$guard"
  fi
  export DEBIAN_FRONTEND=noninteractive
  # shellcheck disable=SC2086
  if apt-get install -y --no-install-recommends $missing >"$log" 2>&1 ||
    { apt-get update >>"$log" 2>&1 && apt-get install -y --no-install-recommends $missing >>"$log" 2>&1; }; then
    exit 0
  fi
  tail -n 5 "$log" >&2
fi

echo "Left out: the tests of alerts, dashboards, the shared store, slow clients, edges, the page and Mooncake that need" $missing \
  "(Debian packages; only root can install them)." >&2
[ "${CI:-}" != true ]
