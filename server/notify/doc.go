// Package notify tells people what server/alert has promised them.
//
// # Vocabulary
//
//   - A kind is a way to tell: e-mail, webhook, ntfy, a Healthchecks-style ping. Each
//     has a file with its fields and its Sender, and a line in Kinds. Forms and checks
//     come from the fields; nothing else knows which kinds there are.
//   - A channel is a kind with settings and secrets.
//   - A delivery is one message for one channel. It is a promise, written in the
//     transaction that has something to tell, and becomes the record of what came of it.
//
// A delivery is sent at least once: when a replica dies between sending and writing
// that down, it is sent again, with the same id.
//
// Everything leaves through Egress, which looks at each address that is dialled.
// Secrets are opened for one attempt and are in no text that an attempt leaves.
//
// The package imports fleet, store, wake and secret.
package notify
