package runner

import (
	"context"
	"fmt"
	"slices"

	"restic-manager/agent/upkeep"
	"restic-manager/restic"
)

// CodeKeyInUse is of a key that this host itself opens the repository with.
const CodeKeyInUse = "key_in_use"

// nextAfterRepair is what is to be done once something was repaired.
const nextAfterRepair = "check the repository, and read its data"

func runRepairIndex(ctx context.Context, t *Task) *Ending {
	if _, e := t.pinned(ctx); e != nil {
		return e
	}
	var made upkeep.Copy
	var e *Ending
	made, e = t.asideFor("repair") //guard:repair-index-aside
	if e != nil {
		return e
	}
	op := restic.RepairIndex{ReadAllPacks: t.Params.Bool("read_all_packs")}
	if _, e := perform(ctx, t, op); e != nil {
		return e
	}
	e = outcomeOf("the index was made anew")
	e.tellUndo(t, made)
	e.NextStep = nextAfterRepair
	e.facts(map[string]bool{"read_all_packs": op.ReadAllPacks})
	return e
}

func runRepairPacks(ctx context.Context, t *Task) *Ending {
	if _, e := t.pinned(ctx); e != nil {
		return e
	}
	var made upkeep.Copy
	var e *Ending
	made, e = t.asideFor("repair") //guard:repair-packs-aside
	if e != nil {
		return e
	}
	ids := t.Params.Strings("pack_ids")
	result, e := perform(ctx, t, restic.RepairPacks{PackIDs: ids})
	if e != nil {
		return e
	}
	lost := result.Value.BlobsLost
	e = outcomeOf(fmt.Sprintf("%s repaired; %s in them lost", counted(int64(len(ids)), "pack", "packs"), counted(int64(lost), "piece of data is", "pieces of data are")))
	e.tellUndo(t, made)
	e.NextStep = nextAfterRepair
	if lost > 0 {
		e.NextStep = "back up every host that uses the repository: what they still have is stored again, which makes older snapshots whole, too; then check the repository. " +
			"If files are missing still, repair the snapshots and have the damaged ones removed"
	}
	e.facts(map[string]int{"packs": len(ids), "blobs_lost": lost})
	return e
}

// foreignKey refuses to remove a key that this host does not call foreign. Whoever has the
// password and may add to the repository can plant a key, have this host open the
// repository with it, and order that all others go; after which nobody else can open it.
func (t *Task) foreignKey(keys []restic.Key, id string) *Ending {
	ledger, err := t.openLedger(t.Repository.ResticID)
	if err != nil {
		return ledgerTrouble(err)
	}
	foreign, err := t.seeKeys(ledger, keys)
	if err != nil {
		return ledgerTrouble(err)
	}
	if t.Repository.ResticID == "" || !slices.Contains(foreign, id) { //guard:key-known
		return failed(CodeKeyKnown, "this host knows this key: it was there when the host first looked at the repository's keys, or a key-add of this host added it; no order removes it",
			"to remove it all the same, use plain restic as root on this host")
	}
	return nil
}

// runKeyRemove removes a key that was planted, and never the one that is in use.
func runKeyRemove(ctx context.Context, t *Task) *Ending {
	if _, e := t.pinned(ctx); e != nil {
		return e
	}
	id := t.Params.String("key_id")
	before, e := perform(ctx, t, restic.ListKeys{})
	if e != nil {
		return e
	}
	i := slices.IndexFunc(before.Value, func(k restic.Key) bool { return k.ID == id })
	switch {
	case i < 0:
		return failed(string(restic.CodeKeyNotFound), "the repository has no key with this id", "identify the repository again: its rows list the keys")
	case before.Value[i].Current || id == t.Repository.KeyID: //guard:key-in-use
		return failed(CodeKeyInUse, "this is the key that this host opens the repository with, so it was not removed", "choose another key")
	}
	if e := t.foreignKey(before.Value, id); e != nil {
		return e
	}
	var made upkeep.Copy
	made, e = t.asideFor("key-remove") //guard:key-remove-aside
	if e != nil {
		return e
	}
	if _, e := perform(ctx, t, restic.KeyRemove{ID: id}); e != nil {
		return e
	}
	after, e := perform(ctx, t, restic.ListKeys{})
	if e != nil {
		return e
	}
	if slices.ContainsFunc(after.Value, func(k restic.Key) bool { return k.ID == id }) {
		return failed(CodeNotReplaced, "restic ended without an error, but the repository still has the key", "look at the job's log and at the storage")
	}
	e = outcomeOf(fmt.Sprintf("the key is removed; %d are left", len(after.Value)))
	if made.Path != "" {
		e.addMessage("its file is kept aside: " + made.Path + "/keys/" + id)
	}
	e.facts(map[string]int{"keys": len(after.Value)})
	return e
}
