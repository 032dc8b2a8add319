package fleet

// Role is what an account may do.
type Role string

const (
	Viewer   Role = "viewer"   // reads
	Operator Role = "operator" // also runs and edits schedules
	Admin    Role = "admin"    // everything
)

// Allows tells whether the role covers the one that is needed.
func (r Role) Allows(need Role) bool { return r.rank() >= need.rank() && need.rank() > 0 }

func (r Role) rank() int {
	switch r {
	case Viewer:
		return 1
	case Operator:
		return 2
	case Admin:
		return 3
	}
	return 0
}

// User is a person's account.
type User struct {
	ID           UserID `db:"id"`
	Name         string `db:"name"`
	Role         Role   `db:"role"`
	PasswordHash string `db:"password_hash"` // argon2id in PHC form
	Disabled     bool   `db:"disabled"`
	Generation   int64  `db:"generation"` // raised to end every sign-in
	CreatedAt    Time   `db:"created_at"`
	LastSignIn   Time   `db:"last_sign_in"`
}

// Audit is one entry of the audit log, written in the transaction of the change it
// tells about.
type Audit struct {
	Seq        int64  `db:"seq"`
	At         Time   `db:"at"`
	Actor      string `db:"actor"` // user name, "agent:<host>", "server", "plan", "setup"
	Address    string `db:"address"`
	Action     string `db:"action"` // "host.create"
	ObjectType string `db:"object_type"`
	ObjectID   string `db:"object_id"`
	ObjectName string `db:"object_name"`
	Detail     string `db:"detail"`
	RequestID  string `db:"request_id"`
	PrevHash   string `db:"prev_hash"`
	Hash       string `db:"hash"`
}
