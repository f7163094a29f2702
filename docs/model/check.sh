#!/bin/bash
# Checks refresh.pml with spin. One line for each check: what is expected, name,
# states, result. Exits 1 if one is not as expected. "check.sh all" adds the
# large ones (a minute more on 2 cores, up to 1.5 GB each).
set -euo pipefail
model=$(cd "$(dirname "$0")" && pwd)/refresh.pml
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
jobs=0 number=0
command -v spin >/dev/null && command -v gcc >/dev/null || { echo "needs spin and gcc" >&2; exit 2; }

# says whether pan's output in $2 is what $1 expects: holds, or the invariant that fails
expected() {
	case $1 in
	holds) grep -q 'errors: 0' "$2" && ! grep -qE 'Search not completed|out of memory|too small' "$2" ;;
	I1 | I2) grep -qE 'assertion violated .*(presented<=|loggedOut)' "$2" ;;
	I3) grep -qE 'invalid end state|non-progress cycle' "$2" ;;
	I4) grep -qE 'assertion violated .*!\(?spent' "$2" ;;
	I5) grep -qE 'assertion violated .*(buried|adopted)' "$2" ;;
	I6) grep -qE 'assertion violated .*stored' "$2" ;;
	seen) grep -qE 'assertion violated \((why|[0-9]+)!=[0-9]+\)' "$2" ;;
	esac
}

one() { # dir mode expect name flags...
	local dir=$1 mode=$2 expect=$3 name=$4 opt=-O0 cc=-DSAFETY run=() states result=ok
	shift 4
	[[ $mode == large ]] && opt=-O2
	[[ $mode == progress ]] && opt=-O2 cc=-DNP && run=(-l -f)
	mkdir "$dir" && cd "$dir"
	spin -a "$@" "$model" >spin.out 2>&1 &&
		gcc $opt -w $cc -DNOREDUCE -DNFAIR=3 -DVECTORSZ=512 -DMEMLIM=3500 -o pan pan.c &&
		{ ./pan -n -m100000 "${run[@]}" >out 2>&1 || true; }
	states=$(awk '/states, stored/ {print $1}' out 2>/dev/null || true)
	expected "$expect" out 2>/dev/null || { result=WRONG; touch "$tmp/wrong"; }
	[[ $expect != holds && $expect != seen ]] && expect="$expect fails"
	printf '%-9s %-66s %9s  %s\n' "$expect" "$name" "${states:-?}" "$result"
	[[ $result == ok ]] || { cat spin.out; head -n 5 out; } 2>/dev/null || true
}

check() { # two at a time
	((++number))
	one "$tmp/$number" "$@" &
	((++jobs < 2)) || { wait -n || true; ((jobs--)) || true; }
}

full=(-DLOGOUT -DDEAD)
faults() { # small|large N fault...
	local mode=$1 n=$2 flags=() f
	shift 2
	for f; do flags+=("-D$f"); done
	check "$mode" holds "$n replicas, logout, dead grant: ${*:-no fault}" -DN="$n" "${full[@]}" "${flags[@]}"
}

echo "== the protocol"
faults small 2
faults small 3
for f in DEATHS STALLS CUTS LOSSES TIMEOUTS; do faults small 3 $f=1; done
faults small 3 DEATHS=1 STALLS=1
faults small 3 DEATHS=1 CUTS=1
faults small 3 DEATHS=1 TIMEOUTS=1
faults small 3 STALLS=1 TIMEOUTS=1
faults small 3 CUTS=1 TIMEOUTS=1
faults large 3 DEATHS=1 LOSSES=1
faults large 3 LOSSES=1 TIMEOUTS=1
faults large 3 STALLS=2
faults small 2 DEATHS=1 STALLS=1 CUTS=1 TIMEOUTS=1
faults large 2 STALLS=2 CUTS=2
faults large 2 STALLS=1 LOSSES=2
check small holds "3 replicas, lenient AS: STALLS=1 CUTS=1" -DN=3 -DLENIENT -DSTALLS=1 -DCUTS=1
check progress holds "no cycle, weak fairness, 3 replicas: DEATHS=1 STALLS=1" -DN=3 -DDEATHS=1 -DSTALLS=1 -DLOGOUT
check progress holds "no cycle, weak fairness, 2 replicas: DEATHS=1 STALLS=1 CUTS=1 LOSSES=1" -DN=2 -DDEATHS=1 -DSTALLS=1 -DCUTS=1 -DLOSSES=1
if [[ ${1:-} == all ]]; then
	faults large 3 DEATHS=1 STALLS=1 TIMEOUTS=1
	faults large 3 DEATHS=1 CUTS=1 TIMEOUTS=1
	faults large 3 STALLS=1 CUTS=1
	faults large 3 STALLS=1 LOSSES=1
	faults large 3 CUTS=1 LOSSES=1
	faults large 2 DEATHS=1 STALLS=1 CUTS=1 LOSSES=1 TIMEOUTS=1
fi
wait; jobs=0

echo "== every outcome is reached"
for o in SUCCESS ALONE LOGIN TRANSIENT AMBIGUOUS REFUSED; do
	check small seen "$o" -DN=2 -DCOVER=$o -DDEATHS=1 -DCUTS=1 "${full[@]}"
done
wait; jobs=0

echo "== mutations"
check small I1 "NO_RENEW: a lock that ends while its holder works; no fault" -DNO_RENEW
check small I1 "NO_SWAP: the entry is taken without comparing; no fault" -DNO_SWAP
check small I3 "NO_TAKEOVER: a lock without an end; a death" -DNO_TAKEOVER -DDEATHS=1
check small I4 "NO_REREAD: a refusal is final at once; a stall" -DNO_REREAD -DSTALLS=1
check small I4 "NO_UNANSWERED: the flag is not kept; a lost answer" -DNO_UNANSWERED -DTIMEOUTS=1
check small I4 "NO_STOLEN: taking over leaves no mark; a death" -DNO_STOLEN -DDEATHS=1
check small I2 "NO_WAIT (and NO_VERDICT): no wait for rivals; 3 replicas, a partition" -DNO_WAIT -DNO_VERDICT -DN=3 -DCUTS=1 -DDEAD
check small I5 "NO_COMPARE: publish overwrites over; a logout" -DNO_COMPARE -DLOGOUT
check small I5 "NO_COMPARE: publish overwrites done; lenient AS, a stall" -DNO_COMPARE -DLENIENT -DSTALLS=1
check small I6 "NO_STORE_FIRST: used before it is stored; no fault" -DNO_STORE_FIRST
wait; jobs=0

echo "== findings (README.md)"
check small I4 "1 NO_NOTE: stall and lost answer" -DNO_NOTE -DSTALLS=1 -DTIMEOUTS=1
check small I4 "1 NO_NOTE: stall and partition" -DNO_NOTE -DSTALLS=1 -DCUTS=1
check small I4 "1 NO_NOTE: partition and lost answer" -DNO_NOTE -DCUTS=1 -DTIMEOUTS=1
check small I2 "2 NO_VERDICT: partition and loss, 3 replicas, logout, dead grant" -DNO_VERDICT -DN=3 -DCUTS=1 -DLOSSES=1 "${full[@]}"
check small I5 "3 TOMB: a stall that outlives a logout" -DTOMB -DSTALLS=1 -DLOGOUT
check small I4 "4 I4_ALL: the Store has lost its content" -DI4_ALL -DLOSSES=1
wait

[[ ! -e $tmp/wrong ]]
