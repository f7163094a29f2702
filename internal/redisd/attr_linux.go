package redisd

import "syscall"

// attributes has a server end with the thread that started it, whatever becomes
// of the test.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
