# shellcheck shell=bash
# Building images and loading them into the cluster; sourced after cluster/settings.sh. By docker where an engine answers
# (and into kind), otherwise by buildah into the bare node's containerd.
BUILDAH_ROOT=$PERENNIAL_CACHE/buildah
IMAGE_ARCHIVES=$PERENNIAL_CACHE/images

buildah_() {
  local driver=overlay
  # Where the kernel or the disk has no overlay, vfs copies whole layers: slower, but it works everywhere.
  if [ ! -e "$BUILDAH_ROOT/driver" ]; then
    mkdir -p "$BUILDAH_ROOT"
    buildah --root "$BUILDAH_ROOT/overlay" --runroot "$BUILDAH_ROOT/run" --storage-driver overlay info >/dev/null 2>&1 || driver=vfs
    echo "$driver" >"$BUILDAH_ROOT/driver"
  fi
  driver=$(<"$BUILDAH_ROOT/driver")
  buildah --root "$BUILDAH_ROOT/$driver" --runroot "$BUILDAH_ROOT/run" --storage-driver "$driver" "$@"
}

archive_of() { printf '%s/%s.tar\n' "$IMAGE_ARCHIVES" "$(tr '/:' '__' <<<"${1#localhost/}")"; }

# Builds REF unless that was done before; the rest are arguments of `docker build` and `buildah build` alike. The
# reference must name its content (a hash), never a moving tag.
build_image() { # REF ARGUMENT...
  local ref=$1 archive part started=$SECONDS
  shift
  if docker_answers; then
    if docker image inspect "$ref" >/dev/null 2>&1; then return; fi
    say "building $ref"
    docker build --quiet --tag "$ref" "$@" >/dev/null
  else
    archive=$(archive_of "$ref")
    if [ -e "$archive" ]; then return; fi
    say "building $ref"
    mkdir -p "$IMAGE_ARCHIVES"
    part=$IMAGE_ARCHIVES/.part-$(basename "$archive")
    rm -f "$part"
    buildah_ build --quiet --isolation chroot --layers --pull-never --tag "$ref" "$@" >/dev/null
    buildah_ push --quiet --compression-format zstd --compression-level 1 "$ref" "oci-archive:$part:$ref"
    mv "$part" "$archive"
  fi
  say "built $ref in $((SECONDS - started)) s"
}

# The image that ours begin with, a Debian with Python 3.11: BASE_IMAGE, or python:3.11-slim where Docker answers, or a
# Debian root that is bootstrapped here.
base_image() {
  local ref root=$PERENNIAL_CACHE/base
  if [ -n "${BASE_IMAGE:-}" ]; then
    echo "$BASE_IMAGE"
    return
  fi
  if docker_answers; then
    echo docker.io/library/python:3.11-slim
    return
  fi
  ref=localhost/perennial/base:$(sha256sum <"$PERENNIAL_HACK/base-root" | cut -c1-12)
  (
    exec 7>"$PERENNIAL_CACHE/base.lock"
    flock 7
    if [ ! -e "$(archive_of "$ref")" ]; then
      rm -rf "$root" && mkdir -p "$root"
      say "bootstrapping a Debian root with Python (about 2 minutes)"
      "$PERENNIAL_HACK/base-root" "$root/root.tar" 7>&-
      printf 'FROM scratch\nADD root.tar /\n' >"$root/Dockerfile"
      build_image "$ref" --file "$root/Dockerfile" "$root" >&2
      rm -r "$root"
    fi
  )
  echo "$ref"
}

# Makes an image of the archives known to buildah, which may have lost it.
use_archive() { # REF
  buildah_ inspect --type image "$1" >/dev/null 2>&1 || buildah_ pull --quiet "oci-archive:$(archive_of "$1")" >/dev/null
}

# Removes an image's older builds, but for the newest three.
forget_older() { # REF
  local archive old
  archive=$(archive_of "$1")
  if [ ! -e "$archive" ]; then return; fi
  find "$IMAGE_ARCHIVES" -name "$(basename "${archive%_*}")_*.tar" -printf '%T@ %p\n' | sort -rn | tail -n +4 | cut -d' ' -f2- |
    while read -r old; do
      old=${old%.tar}
      buildah_ rmi "${1%:*}:${old##*_}" >/dev/null 2>&1 || true
      rm -f "$old.tar"
    done
}

cluster_is_up() { node_images >/dev/null 2>&1; }

node_images() {
  if docker_answers; then
    docker exec "$PERENNIAL_KIND_NAME-control-plane" ctr --namespace k8s.io images ls --quiet
  else
    ctr --address "$PERENNIAL_STATE/run/containerd.sock" --namespace k8s.io images ls --quiet
  fi
}

# Loads images that build_image has built into the cluster, unless they are there.
load_images() { # REF...
  local there ref started
  there=$(node_images)
  for ref in "$@"; do
    if grep -Fxq "$ref" <<<"$there"; then continue; fi
    started=$SECONDS
    if docker_answers; then
      kind load docker-image "$ref" --name "$PERENNIAL_KIND_NAME"
    else
      ctr --address "$PERENNIAL_STATE/run/containerd.sock" --namespace k8s.io images import "$(archive_of "$ref")" >/dev/null
    fi
    say "loaded $ref in $((SECONDS - started)) s"
  done
}

# The image that every pod of the bare node begins with.
pause_image() {
  if [ ! -e "$(archive_of localhost/pause:1)" ]; then
    build_image localhost/pause:1 --file "$PERENNIAL_HACK/cluster/images/Dockerfile" --target pause "$PERENNIAL_PAUSE_BIN"
  fi
  load_images localhost/pause:1
}
