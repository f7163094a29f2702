//go:build !linux

package browser

import "syscall"

// endsWithUs can be said on Linux only.
var endsWithUs *syscall.SysProcAttr
