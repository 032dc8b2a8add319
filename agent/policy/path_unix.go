//go:build unix

package policy

import "strings"

// wholeMachine is where sources may lie when the policy does not say.
func wholeMachine(path string) bool { return strings.HasPrefix(path, "/") }

// comparable is the form of a path in which equal means the same.
func comparable(path string) string { return path }

// checkForm refuses names that the system reads in another way than we do. Here it
// reads every name as it stands.
func checkForm(string) error { return nil }

// literal are the signs that mean something in a pattern of restic.
const literal = `*?[\`
