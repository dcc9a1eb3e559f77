# shellcheck shell=bash
# Where the development cluster lives and listens. Sourced by the scripts beside it; each value can be set in the environment.
: "${PERENNIAL_CACHE:=${XDG_CACHE_HOME:-$HOME/.cache}/perennial}"
# Short: unix sockets below it may have 107 characters.
: "${PERENNIAL_STATE:=/var/lib/perennial-node}"
: "${PERENNIAL_KUBECONFIG:=$PERENNIAL_CACHE/kubeconfig}"
: "${PERENNIAL_API_PORT:=16443}"
: "${PERENNIAL_PROMETHEUS_PORT:=19090}"
: "${PERENNIAL_S3_PORT:=17070}"
: "${PERENNIAL_GATEWAY_PORT:=18081}"
: "${PERENNIAL_KUBEFLOW_PORT:=18888}"
# A production Prometheus scrapes every 15 s to 60 s; demo and tests have windows of seconds.
: "${PERENNIAL_SCRAPE_INTERVAL:=1s}"
: "${PERENNIAL_KIND_NAME:=perennial}"
export PERENNIAL_CACHE PERENNIAL_STATE PERENNIAL_KUBECONFIG PERENNIAL_API_PORT PERENNIAL_PROMETHEUS_PORT \
  PERENNIAL_S3_PORT PERENNIAL_GATEWAY_PORT PERENNIAL_KUBEFLOW_PORT PERENNIAL_SCRAPE_INTERVAL PERENNIAL_KIND_NAME

say() { printf '· %s\n' "$*" >&2; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Seconds since the script began, for progress lines.
elapsed() { printf '%d s' "$((SECONDS))"; }

# Asked once for a script and all that it calls.
docker_answers() {
  if [ -z "${PERENNIAL_DOCKER:-}" ]; then
    PERENNIAL_DOCKER=no
    if command -v docker >/dev/null && docker info >/dev/null 2>&1; then PERENNIAL_DOCKER=yes; fi
    export PERENNIAL_DOCKER
  fi
  [ "$PERENNIAL_DOCKER" = yes ]
}

# The folder of a module's programs; `hack/cluster/build` fills it. The key changes with whatever the programs are made of.
bin_dir() { # MODULE
  local module=$PERENNIAL_HACK/cluster/modules/$1
  printf '%s/bin/%s-%s' "$PERENNIAL_CACHE" "$1" \
    "$(find "$module" -type f -print0 | LC_ALL=C sort -z | xargs -0 cat | sha256sum | cut -c1-12)"
}

export_bin_dirs() {
  PERENNIAL_NODE_BIN=$(bin_dir node)
  PERENNIAL_COREDNS_BIN=$(bin_dir coredns)
  PERENNIAL_PAUSE_BIN=$(bin_dir pause)
  export PERENNIAL_NODE_BIN PERENNIAL_COREDNS_BIN PERENNIAL_PAUSE_BIN
  PATH=$PERENNIAL_NODE_BIN:$PATH:$(bin_dir helm):$(bin_dir kind)
}

kubectl() { command kubectl --kubeconfig "$PERENNIAL_KUBECONFIG" "$@"; }

# What the script that started each of these Deployments left on it, and how many pods are ready: "<mark>/1 <mark>/1 ".
# The mark is set when all is done, so a start that was killed is not taken for a whole one.
started_with() { # DEPLOYMENT...
  # shellcheck disable=SC2016 # a Go template
  kubectl --namespace infra get deployments "$@" --request-timeout 5s --output \
    'go-template={{range .items}}{{index .metadata.annotations "perennial.dev/started"}}/{{.status.readyReplicas}} {{end}}' 2>/dev/null || true
}

# The programs that `make cluster` builds: kind and its node where Docker answers, the bare node otherwise. The node's
# programs are needed either way: kubectl for everybody, kube-apiserver and etcd for the API tests, and so are the
# definitions of the Gateway API and of the Prometheus operator.
modules_wanted() {
  local modules=(pause gateway-api prometheus-operator versitygw coredns)
  if ! command -v helm >/dev/null; then modules+=(helm); fi
  if docker_answers && ! command -v kind >/dev/null; then modules+=(kind); fi
  echo "${modules[@]}" node
}

in_kind() { kind get clusters 2>/dev/null | grep -Fxq "$PERENNIAL_KIND_NAME"; }
