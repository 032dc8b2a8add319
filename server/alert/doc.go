// Package alert turns what is known of the fleet into alerts: conditions that need a
// person. It has two halves. Evaluate is a pure function from facts and rules to the
// alerts that are wanted now. Loop compares them with those that are open and raises,
// updates, reminds and resolves, in one transaction with the promises to tell people.
//
// # Rules that hold
//
//   - One cause is one alert. Its key names the cause; whatever follows from it is an
//     object of it or is not said: forty hosts whose backups fail on one dead
//     repository are one alert with forty objects, and a silent host says nothing of
//     its missed slots.
//   - A cause must be there in two evaluations, and as long as its kind's delay, before
//     it is raised, and gone in two before it is over.
//   - An alert that a person closed comes back with another fact alone.
//   - After an outage of our own nobody is judged before the agents had the time to
//     come back, see store.QuietUntil.
//
// Any number of replicas may run the loop: a round is taken by compare-and-swap.
//
// The package imports fleet, store and wake. What it promises to tell is sent by
// server/notify.
package alert
