//go:build unix && !linux

package redisd

import "syscall"

func attributes() *syscall.SysProcAttr { return nil }
