package cli

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// sizeUnits are the endings that parseSize knows, the longest first.
var sizeUnits = []struct {
	name  string
	bytes float64
}{
	{"tib", 1 << 40}, {"gib", 1 << 30}, {"mib", 1 << 20}, {"kib", 1 << 10}, {"tb", 1e12}, {"gb", 1e9}, {"mb", 1e6}, {"kb", 1e3}, {"t", 1e12}, {"g", 1e9}, {"m", 1e6}, {"k", 1e3}, {"b", 1}, {"", 1},
}

// parseSize reads "6GB", "512 MiB" or a number of bytes.
func parseSize(text string) (int64, error) {
	number := strings.ToLower(strings.TrimSpace(text))
	for _, unit := range sizeUnits {
		digits, ok := strings.CutSuffix(number, unit.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
		if n *= unit.bytes; err != nil || !(n >= 1 && n < 1<<62) {
			break
		}
		return int64(n), nil
	}
	return 0, fmt.Errorf("%q: want a size such as 6GB or 512MiB", text)
}

// availableMemory is how many bytes of the machine's memory a process may still take
// without swapping, or 0 where that can't be asked.
func availableMemory() int64 {
	f, err := os.Open("/proc/meminfo") // Linux
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "MemAvailable:"); ok {
			n, err := parseSize(strings.TrimSuffix(strings.TrimSpace(rest), "kB") + "KiB")
			if err != nil {
				return 0
			}
			return n
		}
	}
	return 0
}
