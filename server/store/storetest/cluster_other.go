//go:build !linux

package storetest

import (
	"context"
	"errors"
)

// cluster is started on Linux alone.
type cluster struct{}

var errElsewhere = errors.New("tests start it on Linux alone")

func start() (*cluster, error) { return nil, errElsewhere }

func (c *cluster) url(string) string                            { return "" }
func (c *cluster) create(context.Context, string, string) error { return errElsewhere }
func (c *cluster) drop(string) error                            { return errElsewhere }
func (c *cluster) stop() error                                  { return nil }
