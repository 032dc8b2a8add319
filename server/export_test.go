package server

import "restic-manager/server/store"

// Parked tells how many requests wait for something to happen.
func (s *Server) Parked() int { return s.waker.Parked() }

// Store is the server's database.
func (s *Server) Store() *store.Store { return s.store }

// MetricNames are the names of everything that a scrape may tell.
func MetricNames() []string {
	var names []string
	for _, m := range allMetrics {
		names = append(names, m.name)
	}
	return names
}
