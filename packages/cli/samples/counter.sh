#!/bin/sh
# Counts to 300, five times a second, while a child of it works too: something to pause and to look at with ps.
#
# Input, one line of JSON:  {"steps":300}  (or nothing)
set -eu

IFS= read -r input || [ -n "${input:-}" ] || input=
steps=300
case $input in
  *'"steps":'*)
    rest=${input#*'"steps":'}
    rest=${rest# }
    steps=${rest%%[!0-9]*}
    ;;
esac
[ -n "$steps" ] && [ "${#steps}" -le 6 ] && [ "$steps" -ge 1 ] || {
  printf 'steps must be from 1 to 999999.\n' >&2
  exit 2
}

# A little arithmetic again and again, for as long as its parent lives.
work() {
  while kill -0 "$$" 2>/dev/null; do
    i=0
    while [ "$i" -lt 5000 ]; do i=$((i + 1)); done
    sleep 0.1
  done
}

work &
worker=$!
trap 'kill "$worker" 2>/dev/null || :' EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

step=0
while [ "$step" -lt "$steps" ]; do
  sleep 0.2
  step=$((step + 1))
  hundredths=$((100 * step / steps))
  if [ "$hundredths" -ge 100 ]; then fraction=1; else fraction=$(printf '0.%02d' "$hundredths"); fi
  printf '::progress %s counted to %s of %s\n' "$fraction" "$step" "$steps"
done
printf '::result {"counted":%s}\n' "$steps"
