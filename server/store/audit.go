package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"restic-manager/server/fleet"
)

const auditCols = "seq, at, actor, address, action, object_type, object_id, object_name, detail, request_id, prev_hash, hash"

// AuditFilter narrows the audit log; empty fields do not.
type AuditFilter struct {
	Actor, Action, ObjectID string
}

// where makes the same text of the same filter, since statements are kept by their text.
func (f AuditFilter) where() (w where) {
	for _, c := range []struct{ column, value string }{{"actor", f.Actor}, {"action", f.Action}, {"object_id", f.ObjectID}} {
		if c.value != "" {
			w.add(c.column+" = ?", c.value)
		}
	}
	return w
}

// AuditEntries lists entries, newest first.
func (q Queries) AuditEntries(ctx context.Context, f AuditFilter, p Page) ([]fleet.Audit, string, error) {
	w := f.where()
	var seq int64
	if ok, err := p.after(f, &seq); err != nil {
		return nil, "", err
	} else if ok {
		w.add("seq < ?", seq)
	}
	var entries []fleet.Audit
	err := q.all(ctx, &entries, `SELECT `+auditCols+` FROM audit`+w.String()+` ORDER BY seq DESC LIMIT ?`, append(w.args, p.size()+1)...)
	if err != nil {
		return nil, "", fmt.Errorf("list audit entries: %w", err)
	}
	return paged(p, f, entries, func(e *fleet.Audit) []any { return []any{e.Seq} })
}

// VerifyAudit recomputes the chain of hashes and gives the number of entries that
// hold. Its error names the first one that was changed, removed or put in.
func (q Queries) VerifyAudit(ctx context.Context) (int64, error) {
	prev := auditHead{}
	for {
		var entries []fleet.Audit
		if err := q.all(ctx, &entries, `SELECT `+auditCols+` FROM audit WHERE seq > ? ORDER BY seq LIMIT 1000`, prev.seq); err != nil {
			return prev.seq, fmt.Errorf("read the audit log: %w", err)
		}
		for i := range entries {
			e := &entries[i]
			if e.Seq != prev.seq+1 || e.PrevHash != prev.hash || e.Hash != auditHash(e) {
				return prev.seq, fleet.Errorf(fleet.Internal, "The audit log was altered at entry %d.", prev.seq+1)
			}
			prev = auditHead{e.Seq, e.Hash}
		}
		if len(entries) == 0 {
			break
		}
	}
	head, err := q.Meta(ctx, metaAuditHead)
	if err != nil && !fleet.Is(err, fleet.NotFound) {
		return prev.seq, err
	}
	if prev.seq > 0 && head != prev.String() || prev.seq == 0 && head != "" && head != prev.String() {
		return prev.seq, fleet.Errorf(fleet.Internal, "The audit log does not end as it did: entries after %d are gone.", prev.seq)
	}
	return prev.seq, nil
}

// auditHead is the end of the chain, kept in meta as "seq hash".
type auditHead struct {
	seq  int64
	hash string
}

func (h auditHead) String() string { return strconv.FormatInt(h.seq, 10) + " " + h.hash }

// appendAudit writes an entry at the end of the chain. The row of the head is
// locked until the transaction ends, so numbers are dense and in order of commit;
// therefore it comes last.
func (tx *Tx) appendAudit(ctx context.Context, e fleet.Audit) error {
	text, err := tx.lockAuditHead(ctx)
	if err != nil {
		return fmt.Errorf("lock the audit chain: %w", err)
	}
	number, hash, _ := strings.Cut(text, " ")
	seq, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return fmt.Errorf("read the end of the audit chain: %w", err)
	}
	e.Seq, e.PrevHash = seq+1, hash
	if e.At.IsZero() {
		e.At = tx.Now
	}
	e.Hash = auditHash(&e)
	if _, err := tx.named(ctx, insert("audit", auditCols), e); err != nil {
		return fmt.Errorf("write audit entry %d: %w", e.Seq, err)
	}
	tx.Touch(fleet.TopicAudit, strconv.FormatInt(e.Seq, 10))
	return tx.SetMeta(ctx, metaAuditHead, auditHead{e.Seq, e.Hash}.String())
}

// lockAuditHead reads the end of the chain, which the first entry makes.
func (tx *Tx) lockAuditHead(ctx context.Context) (string, error) {
	const lock = `UPDATE meta SET value = value WHERE key = ? RETURNING value`
	var text string
	err := tx.get(ctx, &text, lock, metaAuditHead)
	if errors.Is(err, sql.ErrNoRows) {
		if _, err := tx.AddMeta(ctx, metaAuditHead, auditHead{}.String()); err != nil {
			return "", err
		}
		err = tx.get(ctx, &text, lock, metaAuditHead)
	}
	return text, err
}

// auditHash is over every field but itself, in an encoding in which no two entries
// look alike.
func auditHash(e *fleet.Audit) string {
	text, err := json.Marshal([]any{e.Seq, int64(e.At), e.Actor, e.Address, e.Action,
		e.ObjectType, e.ObjectID, e.ObjectName, e.Detail, e.RequestID, e.PrevHash})
	if err != nil { // numbers and strings always encode
		panic(err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
