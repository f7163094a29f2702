package doctor

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
)

// A Program is the command line around a Doctor.
type Program struct {
	In       io.Reader
	Out, Err io.Writer
	Getenv   func(string) string
	// Change changes what the command line says, for tests. If nil, nothing is.
	Change func(*Config)
}

// Run is the program, and returns what it ends with.
func (p Program) Run(ctx context.Context, args []string) int {
	o, err := parse(args, p.Err)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err == nil {
		err = o.secrets(p.In, p.Getenv)
	}
	o.config.Say = func(line string) { fmt.Fprintln(p.Err, line) }
	if p.Change != nil {
		p.Change(&o.config)
	}
	var d *Doctor
	if err == nil {
		d, err = New(o.config)
	}
	if err != nil {
		fmt.Fprintln(p.Err, "rebearer-doctor:", err)
		return 2
	}
	if err := p.examine(ctx, d, o); err != nil {
		fmt.Fprintln(p.Err, "rebearer-doctor:", d.Without(err.Error()))
		return 1
	}
	return 0
}

// examine looks, says what the rest would cost and, if that is agreed to, does it.
func (p Program) examine(ctx context.Context, d *Doctor, o *options) error {
	if err := d.Look(ctx); err != nil {
		return err
	}
	plan := d.Plan()
	switch {
	case !o.json:
		fmt.Fprintln(p.Out, plan)
	case o.yes:
		fmt.Fprintln(p.Err, plan)
	}
	var err error
	if o.yes {
		err = d.Examine(ctx)
	}
	d.Conclude()
	if o.json {
		io.WriteString(p.Out, d.JSON(plan))
		return err
	}
	io.WriteString(p.Out, d.Text())
	if !o.yes {
		fmt.Fprintln(p.Out, "\nOnly what the server publishes was read. With -yes the plan above is carried out.")
	}
	return err
}
