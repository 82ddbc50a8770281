#!/bin/sh
# Makes files of random measurements, compresses each, packs them into one archive and writes their checksums.
#
# Input, one line of JSON:  {"folder":"/some/existing/folder","files":60}
# Leaves in the folder:     sample-NNN.txt.gz, archive.tar, SHA256SUMS
# Takes:                    about 1.3 s of one core and 0.6 MB for each file
#
# Every file is written under a temporary name and renamed when it is complete. So a run that was ended leaves no
# broken file under a final name, and the next one in the same folder goes on where it ended. One run per folder.
set -eu
LC_ALL=C
export LC_ALL

fail() {
  printf '%s\n' "$1" >&2
  exit 2
}

# Prints the string member $1 of the line $input, or nothing.
string_member() {
  case $input in
    *"\"$1\":\""*) rest=${input#*"\"$1\":\""} ;;
    *"\"$1\": \""*) rest=${input#*"\"$1\": \""} ;;
    *) return 0 ;;
  esac
  printf '%s' "${rest%%\"*}"
}

# Prints the number member $1 of the line $input, or nothing.
number_member() {
  case $input in
    *"\"$1\":"*) rest=${input#*"\"$1\":"} ;;
    *) return 0 ;;
  esac
  rest=${rest# }
  printf '%s' "${rest%%[!0-9]*}"
}

sha256() {
  if command -v sha256sum >/dev/null; then sha256sum "$@"; else shasum -a 256 "$@"; fi
}

IFS= read -r input || [ -n "${input:-}" ] || fail 'No input: send {"folder":"...","files":60} as one line.'
# With escapes in it, the little reader above would misread a string.
case $input in *\\*) fail 'The input has a backslash, which this sample cannot read: choose another folder.' ;; esac
folder=$(string_member folder)
files=$(number_member files)
files=${files:-60}
[ -n "$folder" ] || fail 'The input names no folder: send {"folder":"...","files":60}.'
[ -d "$folder" ] || fail "The folder $folder does not exist: create it first."
[ "${#files}" -le 3 ] && [ "$files" -ge 1 ] || fail 'files must be from 1 to 999.'
cd -- "$folder"

remove_parts() {
  rm -f sample.part sample.part.gz archive.part SHA256SUMS.part
}
trap 'remove_parts; exit 143' TERM
trap 'remove_parts; exit 130' INT
trap 'remove_parts' EXIT
remove_parts
# From an earlier run, they would not match the files of this one.
rm -f archive.tar SHA256SUMS

# Prints $1 as hundredths of a fraction of $2, such as 0.07.
fraction() {
  hundredths=$((100 * $1 / $2))
  if [ "$hundredths" -ge 100 ]; then printf 1; else printf '0.%02d' "$hundredths"; fi
}

done_files=0
set --
while [ "$done_files" -lt "$files" ]; do
  name=$(printf 'sample-%03d.txt.gz' "$((done_files + 1))")
  if [ ! -f "$name" ]; then
    head -c 140000 /dev/urandom | od -An -v -tx1 | od -An -v -to1 >sample.part
    gzip -9 sample.part
    mv sample.part.gz "$name"
  fi
  gzip -t "$name"
  tar -rf archive.part "$name"
  set -- "$@" "$name"
  done_files=$((done_files + 1))
  printf '::progress %s %s of %s files\n' "$(fraction "$done_files" "$((files + 1))")" "$done_files" "$files"
done

printf 'Verifying the archive of %s files.\n' "$files"
tar -tf archive.part >/dev/null
listed=$(tar -tf archive.part | {
  lines=0
  while read -r _; do lines=$((lines + 1)); done
  printf '%s' "$lines"
})
[ "$listed" -eq "$files" ] || fail "The archive lists $listed files instead of $files."
mv archive.part archive.tar
sha256 "$@" archive.tar >SHA256SUMS.part
mv SHA256SUMS.part SHA256SUMS
printf '::progress 1 %s files archived\n' "$files"
printf '::result {"files":%s,"archive":"%s/archive.tar","sums":"%s/SHA256SUMS"}\n' "$files" "$folder" "$folder"
