package hostile

import "strings"

// Paths are names of files that lead out of a directory, to devices, or to nothing good.
func Paths() []string {
	paths := []string{
		"", ".", "..", "/", "//", "./", "../", "../..", "./a", "a/", "a//b", "a/./b", "a/../b", "a/../../b", "../a", "../../etc/passwd", "../../../../../../etc/passwd",
		"/etc/passwd", "//etc/passwd", "///etc/passwd", "/proc/self/environ", "/proc/self/fd/0", "/dev/zero", "/dev/stdin", "/dev/tty",
		"~", "~/x", "~root/x", "$HOME/x", "${HOME}/x", "%USERPROFILE%\\x", "`id`", "$(id)", "; id", "| id", "-rf", "--out",
		"\\", "..\\", "..\\..\\windows\\win.ini", "\\windows\\win.ini", "\\\\server\\share\\x", "\\\\?\\C:\\x", "\\\\.\\PhysicalDrive0", "..\\../x", "a\\b", "a\\..\\..\\b",
		"C:", "C:x", "C:\\x", "C:/x", "c:/windows/win.ini", "file:///etc/passwd", "http://localhost/x", "https://localhost:1/x", "s3://bucket/x", "hf://x/y", "data:,x", "a:b",
		"x\x00", "\x00", "x\x00.safetensors", "../x\x00.safetensors", "x\n", "x\r\ny", "\x1b[31mx", "\xff\xfe", "\xc0\xae\xc0\xae/x", "..\u2215x", "\u202e../x", "％2e％2e／x", "%2e%2e/x", "..%2fx", "%00",
		"model.safetensors.", "model.safetensors ", " model.safetensors", "model.safetensors::$DATA", "model.safetensors/", "model.safetensors/..", "MODEL.SAFETENSORS",
		strings.Repeat("a", 300), strings.Repeat("a/", 3000), strings.Repeat("../", 3000) + "etc/passwd", "*", "*.safetensors", "[", "?", "{a,b}",
	}
	for _, device := range []string{"CON", "con", "PRN", "AUX", "NUL", "nul.safetensors", "COM1", "com9.txt", "LPT1", "COM¹", "CONIN$", "CONOUT$"} {
		paths = append(paths, device, "sub/"+device)
	}
	return paths
}
