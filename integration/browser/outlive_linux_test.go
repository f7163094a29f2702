package browser

import "syscall"

// endsWithUs has a process end also where this one is killed, and runs no
// cleanup.
var endsWithUs = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
