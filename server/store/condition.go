package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"restic-manager/server/fleet"
)

const conditionCols = "object_type, object_id, code, severity, message, next_step, job_id, since"

// The objects of conditions.
const (
	ObjectHost       = "host"
	ObjectRepository = "repository"
)

// Conditions lists what holds for objects of a type, the longest first.
func (q Queries) Conditions(ctx context.Context, objectType string, ids ...string) ([]fleet.Condition, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var list []fleet.Condition
	err := q.allIn(ctx, &list, `SELECT `+conditionCols+` FROM conditions WHERE object_type = ? AND object_id IN (?)
		ORDER BY since, object_id, code`, objectType, ids)
	if err != nil {
		return nil, fmt.Errorf("list conditions: %w", err)
	}
	return list, nil
}

// RaiseCondition says that a condition holds and tells whether it is new. One that
// held before keeps its Since and gets the other fields.
func (tx *Tx) RaiseCondition(ctx context.Context, c fleet.Condition) (raised bool, err error) {
	c.Since = tx.Now
	n, err := tx.named(ctx, insert("conditions", conditionCols)+` ON CONFLICT (object_type, object_id, code) DO NOTHING`, c)
	if err != nil {
		return false, fmt.Errorf("raise %s of %s %s: %w", c.Code, c.ObjectType, c.ObjectID, err)
	}
	if n == 1 {
		return true, tx.touchObject(ctx, c.ObjectType, c.ObjectID)
	}
	n, err = tx.named(ctx, `UPDATE conditions SET severity = :severity, message = :message, next_step = :next_step, job_id = :job_id
		WHERE object_type = :object_type AND object_id = :object_id AND code = :code
		AND (severity <> :severity OR message <> :message OR next_step <> :next_step OR job_id <> :job_id)`, c)
	if err != nil {
		return false, fmt.Errorf("raise %s of %s %s again: %w", c.Code, c.ObjectType, c.ObjectID, err)
	}
	if n > 0 {
		return false, tx.touchObject(ctx, c.ObjectType, c.ObjectID)
	}
	return false, nil
}

// ClearCondition says that a condition no longer holds and gives it back as it was;
// nil when it did not hold.
func (tx *Tx) ClearCondition(ctx context.Context, objectType, objectID, code string) (*fleet.Condition, error) {
	var c fleet.Condition
	err := tx.get(ctx, &c, `DELETE FROM conditions WHERE object_type = ? AND object_id = ? AND code = ? RETURNING `+conditionCols,
		objectType, objectID, code)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("clear %s of %s %s: %w", code, objectType, objectID, err)
	}
	return &c, tx.touchObject(ctx, objectType, objectID)
}

// touchObject raises the version of what conditions are shown with, and tells of it:
// whoever waits for another version is to see them.
func (tx *Tx) touchObject(ctx context.Context, objectType, id string) (err error) {
	switch objectType {
	case ObjectHost:
		tx.Touch(fleet.TopicHosts, id)
		_, err = tx.exec(ctx, `UPDATE hosts SET version = version + 1 WHERE id = ?`, id)
	case ObjectRepository:
		tx.Touch(fleet.TopicRepositories, id)
		_, err = tx.exec(ctx, `UPDATE repositories SET version = version + 1 WHERE id = ?`, id)
	}
	return err
}
