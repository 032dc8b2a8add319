package server

// Parked tells how many requests wait for something to happen.
func (s *Server) Parked() int { return s.waker.Parked() }
