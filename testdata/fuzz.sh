#!/bin/sh
# Fuzzes every target of the module in turn, each for as long as $1 says (default 10m), or only those whose
# name or package has $2 in it. One line a target; the output of one that fails follows its line. Inputs are
# hardly minimized: by time, that would take most of it where any byte less is another path, as in archives.
cd "$(dirname "$0")/.." || exit 1
log=$(mktemp) && trap 'rm -f "$log"' EXIT
grep -rn --include='*_test.go' '^func Fuzz' . | sed 's|^\./\(.*\)/[^/]*:[0-9]*:func \(Fuzz[A-Za-z0-9]*\).*|\1 \2|' | sort |
	{
		failed=0
		while read -r package target; do
			case "$package $target" in *"$2"*) ;; *) continue ;; esac
			if ${GO:-go} test -run '^$' -fuzz "^$target\$" -fuzztime "${1:-10m}" -parallel "${FUZZPROCS:-2}" -fuzzminimizetime 100x "./$package" >"$log" 2>&1; then
				result="ok"
			else
				result="FAILED" failed=1
			fi
			executions=$(sed -n 's/.*execs: \([0-9]*\).*/\1/p' "$log" | tail -1)
			printf '%-6s %-40s %-18s %12s executions\n' "$result" "$package" "$target" "${executions:-0}"
			[ "$result" = ok ] || cat "$log"
		done
		exit $failed
	}
