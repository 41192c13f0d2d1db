#!/bin/sh
# mmdebstrap's essential hook: settings that maintainer scripts read must lie there before the
# packages are configured.
set -eu
root=$1
cp -R --no-preserve=ownership "$CLAWDIE_BEFORE_PACKAGES/." "$root/"
