package model_test

import (
	"context"
	"strconv"
	"time"
)

// fault is one way in which an exchange goes wrong. happen tells whether the
// connection can be used again.
type fault struct {
	name   string
	happen func(x *line, e *exchange) bool
}

// allFaults lists what the network does.
func allFaults() []fault {
	list := []fault{
		{"request lost", func(x *line, e *exchange) bool { return false }},
		{"request swallowed", func(x *line, e *exchange) bool { return x.hang(e) }},
		{"request late", func(x *line, e *exchange) bool {
			sleep(e.gone, x.dice.between(0, 50*time.Second))
			return x.pass(e)
		}},
		{"request cut short", cutShort},
		{"request repeated at once", func(x *line, e *exchange) bool {
			_, _ = x.forward(e.gone, e, e.body)
			return x.pass(e)
		}},
		{"request repeated later", repeatLater},
		{"request goes on without its client", goOn},
		{"answer lost", func(x *line, e *exchange) bool {
			_, _ = x.forward(e.gone, e, e.body)
			return false
		}},
		{"answer swallowed", func(x *line, e *exchange) bool {
			_, _ = x.forward(e.gone, e, e.body)
			return x.hang(e)
		}},
		{"answer late", func(x *line, e *exchange) bool {
			a, err := x.forward(e.gone, e, e.body)
			if err != nil {
				return false
			}
			sleep(e.gone, x.dice.between(0, 50*time.Second))
			return e.write(a, 0)
		}},
		{"answer cut short", func(x *line, e *exchange) bool {
			a, err := x.forward(e.gone, e, e.body)
			if err != nil {
				return false
			}
			return e.write(a, 1+x.dice.below(len(a.body)+100))
		}},
		{"cut while it waits", func(x *line, e *exchange) bool {
			ctx, cancel := context.WithTimeout(e.gone, x.dice.between(0, 30*time.Second))
			defer cancel()
			a, err := x.forward(ctx, e, e.body)
			return err == nil && e.write(a, 0)
		}},
	}
	for _, status := range foreign() {
		list = append(list, inItsPlace(status), instead(status))
	}
	return list
}

// foreign are the statuses that boxes answer with.
func foreign() []int { return []int{200, 204, 302, 400, 401, 403, 404, 407, 413, 502, 504} }

// inItsPlace is a box that answers without asking the server.
func inItsPlace(status int) fault {
	return fault{"page " + strconv.Itoa(status) + " unasked", func(_ *line, e *exchange) bool { return e.write(page(status), 0) }}
}

// instead is a box that asks the server and then says something else.
func instead(status int) fault {
	return fault{"page " + strconv.Itoa(status) + " instead", func(x *line, e *exchange) bool {
		_, _ = x.forward(e.gone, e, e.body)
		return e.write(page(status), 0)
	}}
}

// hang leaves the client waiting until it gives up.
func (x *line) hang(e *exchange) bool {
	<-e.gone.Done()
	return false
}

// cutShort loses the end of a request's body, and the client with it.
func cutShort(x *line, e *exchange) bool {
	if len(e.body) == 0 {
		return false
	}
	_, _ = x.forward(e.gone, e, e.body[:x.dice.below(len(e.body))])
	return false
}

// repeatLater is a box that has kept a request and sends it again when everybody has
// gone on.
func repeatLater(x *line, e *exchange) bool {
	x.serving.Go(func() {
		sleep(x.trouble, x.dice.between(time.Second, 3*time.Minute))
		if x.trouble.Err() != nil {
			return
		}
		again, cancel := context.WithTimeout(x.ended, time.Minute)
		defer cancel()
		_, _ = x.forward(again, e, e.body)
	})
	return x.pass(e)
}

// goOn is a box that does not tell the server that the client has gone.
func goOn(x *line, e *exchange) bool {
	x.serving.Go(func() {
		alone, cancel := context.WithTimeout(x.ended, time.Minute)
		defer cancel()
		_, _ = x.forward(alone, e, e.body)
	})
	sleep(e.gone, x.dice.between(0, 10*time.Second))
	return false
}

// fateOf draws what becomes of an exchange.
func (x *line) fateOf(e *exchange) fault {
	good := fault{"passed", (*line).pass}
	switch {
	case x.cut():
		return fault{"severed", (*line).hang}
	case !x.unlucky(x.share):
		return good
	}
	f := pick(x.dice, allFaults())
	x.cover.hit(coveredNetwork, f.name)
	return f
}
