package restic

import (
	"os"
	"sync"
	"time"
)

// drainPatience is how long the pipes of a dead restic may stay open.
const drainPatience = 10 * time.Second

// streams are the pipes of one child.
type streams struct{ readers, writers []*os.File }

func openStreams(spec *childSpec) (*streams, error) {
	s := &streams{}
	for _, end := range []**os.File{&spec.stdout, &spec.stderr} {
		read, write, err := os.Pipe()
		if err != nil {
			s.closeWriters()
			s.close()
			return nil, err
		}
		s.readers, s.writers = append(s.readers, read), append(s.writers, write)
		*end = write
	}
	return s, nil
}

// drainBy reads both streams at once, to their ends: a restic whose output nobody
// reads stands still, and one whose pipe is closed dies and leaves its lock.
func (s *streams) drainBy(read func(Stream, *os.File)) <-chan struct{} {
	var readers sync.WaitGroup
	readers.Go(func() { read(Stdout, s.readers[0]) })
	readers.Go(func() { read(Stderr, s.readers[1]) })
	drained := make(chan struct{})
	go func() { readers.Wait(); close(drained) }()
	return drained
}

// await returns when all is read, of a process that has ended.
func (s *streams) await(drained <-chan struct{}) {
	select {
	case <-drained:
	case <-time.After(drainPatience):
		s.close() // ends the readers where a process outside the group kept a pipe
		<-drained
	}
}

func (s *streams) closeWriters() { closeAll(s.writers) }
func (s *streams) close()        { closeAll(s.readers) }

func closeAll(files []*os.File) {
	for _, file := range files {
		file.Close()
	}
}
