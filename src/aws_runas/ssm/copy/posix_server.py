"""The file server for instances without Python: a constant script for ``sh``, coreutils or busybox.

It reads requests from standard input: one line ``SCRIPT_LENGTH PAYLOAD_LENGTH``, then the script and the payload. The
script calls the functions below with names in single quotes. Every call writes one record to the log, ended by a zero
byte: ``+`` and its result, or ``E CODE TEXT``. The reply is ``LOG_LENGTH OUTPUT_LENGTH``, the log, and the output.

Its temporary files are in a separate directory with mode 0700.
"""

from __future__ import annotations

import hashlib
from typing import Final

NEEDED: Final = "cat chmod dd find mkdir mktemp mv readlink rm rmdir stat sync touch wc xargs"

# U the user's umask, T our directory, Z a program that compresses or "", H prints the SHA-256 of its input or nothing.
# E error record; X run a command, the first line of its error output becomes the error; K refuse links between root and
# path; G refuse to replace anything but a regular file; A owner, mode and time; V check and open the payload;
# B lock a part file.
# Q stat; W walk; R read; M read one of many; F write one of many; N rename; O, P, C, D part open, write, finish, drop;
# I hash of a segment; J directory; L link; S remove; a attributes; h hash; i info; Y sync.
POSIX_SERVER: Final = r"""
unset TMOUT;LC_ALL=C;export LC_ALL;U=$(umask);umask 077
m=;for t in @NEEDED@;do command -v $t >/dev/null 2>&1||m="$m $t";done
Z=;command -v gzip >/dev/null 2>&1&&Z=gzip
H(){ cat >/dev/null;};k=0
if sha256sum </dev/null >/dev/null 2>&1;then k=1;H(){ s=$(sha256sum);printf %s "${s%% *}";}
elif openssl dgst -sha256 -r </dev/null >/dev/null 2>&1;then k=1
H(){ s=$(openssl dgst -sha256 -r);printf %s "${s%% *}";}
elif shasum -a 256 </dev/null >/dev/null 2>&1;then k=1;H(){ s=$(shasum -a 256);printf %s "${s%% *}";};fi
T=$(mktemp -d)||m="$m a-temporary-directory"
printf 'posix %s %s %s\n' "$k" "${Z:-none}" "$m"
[ "$m" ]&&exit 0
trap 'rm -rf "$T"' EXIT;trap 'exit 1' HUP INT TERM PIPE
E(){ printf 'E %s %s\0' "$1" "$2";return 1;}
ok(){ printf '+\0';}
X(){ "$@" 2>"$T/err"&&return 0
e=;read -r e <"$T/err";case $e in *"No space"*|*uota*)E no-space "${e##*: }";;*)E failed "${e##*: }";;esac;}
K(){ [ "$2" ]||return 0;case $1 in "${2%/}"/*);;*)return 0;;esac
r=${1#"${2%/}"/};at=$2
while case $r in */*)true;;*)false;;esac;do at=$at/${r%%/*};r=${r#*/}
[ -h "$at" ]&&{ E name-refused "$at is a link";return 1;};done;return 0;}
G(){ if [ -h "$1" ]||{ [ -e "$1" ]&&[ ! -f "$1" ];};then E not-a-file 'the target exists and is not a regular file';fi;}
A(){ { [ -z "$4" ]||X chown -h "$4" "$1";}&&X chmod "$2" "$1"&&
{ [ -z "$3" ]||touch -d "@$3" "$1" 2>/dev/null||X touch -d "@${3%.*}" "$1";};}
V(){ b=;if [ "$2" = 1 ];then gzip -dc <"$T/in" >"$T/un" 2>/dev/null;mv "$T/un" "$T/in";fi
s=$(H <"$T/in")
if [ "$s" ]&&[ "$s" != "$1" ];then b=1;E hash-differs 'the data arrived damaged';return 1;fi;exec 4<"$T/in";}
B(){ (set -C;echo $$ >"$1.lock") 2>/dev/null&&return 0
a=;read -r a <"$1.lock";[ "$a" = $$ ]&&return 0;[ "$a" ]&&[ -d "/proc/$a" ]&&return 1
rm -f "$1.lock";(set -C;echo $$ >"$1.lock") 2>/dev/null;}
Q(){ f=;[ "$2" = 1 ]&&f=-L;if [ ! -e "$1" ]&&{ [ "$f" ]||[ ! -h "$1" ];};then ok;return;fi
d=$(stat $f -c '%f %s %i %Y %y' "$1" 2>/dev/null)||{ E failed 'it cannot be read';return;}
printf '+%s\n' "$d";[ -z "$f" ]&&[ -h "$1" ]&&readlink -n "$1";printf '\0';}
W(){ f=;[ "$2" = 1 ]&&f=-L
(cd "$1"&&find $f . -print0) >"$T/out" 2>"$T/err"||:
(cd "$1"&&xargs -0 stat -c '%f %s %i %Y %y' <"$T/out") >"$T/st" 2>/dev/null||:
printf '+';cat "$T/st";printf '\0+';cat "$T/err";printf '\0';}
R(){ [ -f "$1" ]||{ E not-a-file 'not a regular file';return;}
X dd if="$1" of="$T/out" bs=1048576 skip="$2" count=1 iflag=fullblock||return
s=$(H <"$T/out");p=0;n=$(($(wc -c <"$T/out")))
if [ "$Z" ]&&[ "$3" != none ]&&[ "$n" -gt 0 ];then gzip -1c <"$T/out" >"$T/z"
if [ "$3" = gzip ]||[ $(($(wc -c <"$T/z")*20)) -lt $((n*19)) ];then p=1;mv "$T/z" "$T/out";fi;fi
printf '+%s %s %s\n%s\0' "$n" "$p" "$s" "$(stat -L -c '%f %s %i %Y %y' "$1" 2>/dev/null)";}
M(){ [ -f "$1" ]||{ E not-a-file 'not a regular file';return;}
X dd if="$1" bs="$2" count=1 iflag=fullblock >>"$T/out"||return
n=;{ read -r n;read -r n;read -r n e;} <"$T/err"
case $n in ''|*[!0-9]*)n=$(($(wc -c <"$T/out")-o));;esac;o=$((o+n));printf '+%s\0' "$n";}
F(){ if [ "$b" ];then E hash-differs 'the batch arrived damaged';return;fi
if K "$1" "$2"&&G "$1"&&G "$3";then
if [ "$4" -gt 0 ];then X dd of="$3" bs="$4" count=1 iflag=fullblock <&4;else X dd of="$3" count=0 </dev/null
fi&&A "$3" "$5" "$6" "$7"&&ok||rm -f "$3"
elif [ "$4" -gt 0 ];then dd bs="$4" count=1 iflag=fullblock <&4 >/dev/null 2>&1;fi;}
N(){ if [ -f "$1" ];then X mv -f "$1" "$2"&&ok;else E failed 'it was not written';fi;}
O(){ K "$1" "$2"&&G "$1"&&G "$3"||return
B "$3"||{ E busy 'another copy writes it';return;}
[ -e "$3" ]||X dd of="$3" count=0 </dev/null||return
cat "$3.json" >"$T/out" 2>/dev/null||:
case $1 in */*)d=${1%/*}/;;*)d=.;;esac
printf '+%s\n%s\0' "$(stat -f -c '%a %S' "$d" 2>/dev/null)" "$(stat -c '%b %B' "$3" 2>/dev/null)";}
o(){ X dd of="$1" count=0 </dev/null&&{ printf '%s\n' "$2"|X dd of="$1.json";}&&ok;}
P(){ V "$3" "$4"||return;if [ -h "$1" ]||[ ! -f "$1" ];then E failed 'the unfinished file is gone';return;fi
X dd if="$T/in" of="$1" bs=1048576 seek="$2" conv=notrunc||return
if { printf '%s %s\n' "$2" "$3" >>"$1.json";} 2>/dev/null;then ok;else E failed 'the journal cannot be written';fi;}
C(){ K "$1" "$2"&&G "$1"||return;if [ -h "$3" ]||[ ! -f "$3" ];then E failed 'the unfinished file is gone';return;fi
X dd of="$3" bs=1 seek="$4" count=0 </dev/null||return;sync
if [ "$5" ]&&[ "$(H <"$3")" != "$5" ];then E hash-differs "the SHA-256 of the file differs from the source's";return;fi
A "$3" "$6" "$7" "$8"||return;rm -f "$3.json";X mv -f "$3" "$1"||return;rm -f "$3.lock";sync;ok;}
D(){ rm -f "$1" "$1.json" "$1.lock";ok;}
I(){ printf '+%s\0' "$(dd if="$1" bs=1048576 skip="$2" count=1 iflag=fullblock 2>/dev/null|H)";}
J(){ K "$1" "$2"||return;if [ -d "$1" ]&&[ ! -h "$1" ];then ok;else (umask "$U";X mkdir "$1"&&ok);fi;}
L(){ K "$1" "$2"||return;if [ -h "$1" ];then X rm -f "$1"||return;fi;X ln -s "$3" "$1"&&ok;}
S(){ K "$1" "$2"||return;if [ -d "$1" ]&&[ ! -h "$1" ];then X rmdir "$1"&&ok;else X rm "$1"&&ok;fi;}
a(){ K "$1" "$2"&&A "$1" "$3" "$4" "$5"&&ok;}
h(){ if [ -f "$1" ];then printf '+%s\0' "$(H <"$1")";else E not-a-file 'not a regular file';fi;}
i(){ printf '+%s %s\n%s\0' "$(id -u)" "$U" "$HOME";}
Y(){ sync;ok;}
while read -r q w;do
dd bs="$q" count=1 iflag=fullblock >"$T/req" 2>/dev/null||exit
:>"$T/in";if [ "$w" -gt 0 ];then dd bs="$w" count=1 iflag=fullblock >"$T/in" 2>/dev/null||exit;fi
o=0;:>"$T/out";{ . "$T/req";} >"$T/log" 2>/dev/null </dev/null
printf '%s %s\n' "$(($(wc -c <"$T/log")))" "$(($(wc -c <"$T/out")))";cat "$T/log" "$T/out";done
exit 0
""".replace("@NEEDED@", NEEDED)


def posix_server_digest() -> str:
    """Return the SHA-256 of the script in hexadecimal. ``-v`` prints it."""
    return hashlib.sha256(POSIX_SERVER.encode("ascii")).hexdigest()
