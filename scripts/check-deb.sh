#!/usr/bin/env bash
# Looks into a package that `make deb` built: scripts/check-deb.sh FILE.deb
#
# What an owner relies on must be in it: the program, the unit, the manual, the licence; scripts that start the service; and nothing that
# writes elsewhere. Needs nothing but dpkg-deb.
set -euo pipefail

deb=${1:?which package? scripts/check-deb.sh FILE.deb}

die() {
    printf 'check-deb: %s: %s\n' "$deb" "$*" >&2
    exit 1
}

field() { dpkg-deb -f "$deb" "$1"; }

[ "$(field Package)" = drystone-node ] || die "the package is called $(field Package)"
case "$(field Architecture)" in
amd64 | arm64) ;;
*) die "architecture $(field Architecture)" ;;
esac
field Depends | grep -q libc6 || die "it depends on no libc: $(field Depends)"
[ -n "$(field Maintainer)" ] || die "nobody maintains it"
[ -n "$(field Description)" ] || die "it has no description"

contents=$(dpkg-deb -c "$deb")
has() { # mode, path as an extended regular expression
    grep -Eq "^$1 .* \./$2\$" <<<"$contents" || die "no $2 with mode $1 in:
$contents"
}
has '-rwxr-xr-x' 'usr/bin/drystone-node'
has '-rw-r--r--' '(usr/)?lib/systemd/system/drystone-node\.service'
has '-rw-r--r--' 'usr/share/man/man1/drystone-node\.1\.gz'
has '-rw-r--r--' 'usr/share/doc/drystone-node/copyright'
has '-rw-r--r--' 'usr/share/doc/drystone-node/NODE\.md(\.gz)?'
foreign=$(awk '{print $6}' <<<"$contents" | grep -Ev '^\./$|^\./(usr|lib)/' || true)
[ -z "$foreign" ] || die "files outside /usr and /lib: $foreign"

unpacked=$(mktemp -d)
trap 'rm -rf "$unpacked"' EXIT
dpkg-deb -R "$deb" "$unpacked"
for script in postinst prerm postrm; do
    file="$unpacked/DEBIAN/$script"
    [ -x "$file" ] || die "no script $script"
    sh -n "$file" || die "$script is no shell script"
    ! grep -q '#DEBHELPER#' "$file" || die "$script was not filled in"
done
grep -q 'drystone-node.service' "$unpacked/DEBIAN/postinst" || die "nothing starts the service"
cmp -s packaging/drystone-node.service "$(find "$unpacked" -name drystone-node.service -path '*systemd/system*')" ||
    die "the unit is not packaging/drystone-node.service"
if [ "$(field Architecture)" = "$(dpkg --print-architecture)" ]; then
    "$unpacked/usr/bin/drystone-node" --version | grep -q '^drystone-node ' || die "the program does not run"
fi
echo "$deb holds what it should"
