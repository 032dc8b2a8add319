package custody

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Replace makes data the content of the private file at path. After an error or a
// crash the file has its old content or the new, never a part. When Replace has
// returned nil, the new content outlasts a power loss.
//
// Callers that replace the same path at the same time must take turns.
func Replace(path string, data []byte) error {
	temp, err := stage(path, data)
	if err != nil {
		return fmt.Errorf("replace %s: %w", path, err)
	}
	return swap(temp, path)
}

// Rewrite is Replace for a file that exists and keeps its owner and rights: others
// may have been allowed to read it.
func Rewrite(path string, data []byte) error {
	temp, err := stage(path, data)
	if err != nil {
		return fmt.Errorf("rewrite %s: %w", path, err)
	}
	if err := makeLike(temp, path); err != nil {
		return fmt.Errorf("rewrite %s: %w", path, errors.Join(err, os.Remove(temp)))
	}
	return swap(temp, path)
}

func swap(temp, path string) error {
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("replace %s: %w", path, errors.Join(err, os.Remove(temp)))
	}
	return syncFolder(filepath.Dir(path))
}

// Create is Replace for a path where nothing lies yet: otherwise it changes nothing
// and returns an error that is fs.ErrExist.
func Create(path string, data []byte) error {
	temp, err := stage(path, data)
	if err != nil {
		return fmt.Errorf("create %s: %w", path, err)
	}
	// A link fails where a file lies; a rename would replace it.
	err = os.Link(temp, path)
	if err := errors.Join(err, os.Remove(temp)); err != nil {
		return fmt.Errorf("create %s: %w", path, err)
	}
	return syncFolder(filepath.Dir(path))
}

// stage writes data to a private file beside path and brings it to the disk.
func stage(path string, data []byte) (temp string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // 0600
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if err == nil {
		err = makePrivate(f.Name())
	}
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}
