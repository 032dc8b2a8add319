package runner

import (
	"context"
	"fmt"
	"strings"
	"time"

	"restic-manager/agent/spool"
	"restic-manager/agent/upkeep"
	"restic-manager/restic"
)

// gate is what was found good before a prune.
type gate struct {
	stock upkeep.Stock // what was there before it was read
	loose bool         // also packs that no index named, so that they were not read
}

// stock lists what holds the repository's data. Where it is not in a folder here, names
// are all that is known.
func (t *Task) stock(ctx context.Context, o *outlook) (upkeep.Stock, *Ending) {
	if o.folder != nil {
		stock, err := o.folder.Stock()
		if err != nil {
			return nil, failed(CodeMaintenanceFolder, err.Error(), "look at the folder's owner and rights on the host")
		}
		return stock, nil
	}
	stock := upkeep.Stock{}
	for kind, part := range map[string]string{"packs": "data/", "index": "index/"} {
		each := func(id string) error { stock[part+id] = upkeep.File{}; return nil }
		if _, e := perform(ctx, t, restic.ListFiles{Kind: kind, Each: each}); e != nil {
			return nil, e
		}
	}
	return stock, nil
}

// maxRounds is how often all is read because more was stored meanwhile.
const maxRounds = 3

// guarded lets a prune go on when all that is there has been read and found good, and the
// repository is kept aside. What was stored meanwhile is read too: that is looked at before
// the copy is made, so that one is enough, and after it.
func (t *Task) guarded(ctx context.Context, o *outlook, facts *pruneFacts) (gate, *Ending) {
	for range maxRounds {
		g, e := t.verify(ctx, o, facts)
		if e != nil {
			return g, e
		}
		more, e := t.grown(ctx, o, g)
		if e == nil && !more {
			if e = t.keepAside(o, facts); e == nil {
				more, e = t.grown(ctx, o, g)
			}
		}
		if e != nil || !more {
			return g, e
		}
	}
	return gate{}, failed(CodePruneUnverified, "nothing was removed: each time that all data had been read, more had been stored",
		"run it at a time when no backups run")
}

// grown reports whether something was stored since all was read.
func (t *Task) grown(ctx context.Context, o *outlook, g gate) (bool, *Ending) {
	stock, e := t.stock(ctx, o)
	if e != nil {
		return false, e
	}
	if len(stock.Since(g.stock)) > 0 { //guard:prune-meanwhile
		t.Say("more was stored meanwhile, which is read too")
		return true, nil
	}
	return false, nil
}

// keepAside makes the undo copy of a prune. One that an earlier round made stays: what it
// has may be gone from the repository by now.
func (t *Task) keepAside(o *outlook, facts *pruneFacts) *Ending {
	made, e := t.setAside(o.folder, "prune")
	if e == nil && made.Path != "" {
		facts.Undo, facts.UndoUntil, facts.Copies = made.Path, made.At.AddDate(0, 0, t.reach.rule.UndoDays), facts.Copies+1
	}
	return e
}

// verify reads all data, unless all of it was read before. A pack counts as read if an
// index named it at the time: others are passed over, and an index that names one may come
// later.
func (t *Task) verify(ctx context.Context, o *outlook, facts *pruneFacts) (gate, *Ending) {
	stock, e := t.stock(ctx, o)
	if e != nil {
		return gate{}, e
	}
	if o.folder != nil && stock.Packs() > 0 {
		known := upkeep.ReadVerified(t.runner.keepsake, o.id)
		if len(known.Missing(stock, t.runner.now())) == 0 {
			facts.Verified, facts.Packs = "all read by "+known.At.UTC().Format(time.RFC3339)+", nothing was stored since", stock.Packs()
			return gate{stock: stock}, nil
		}
	}
	read, e := perform(ctx, t, restic.Check{ReadData: true})
	if e != nil {
		return gate{}, e
	}
	if !read.Value.Good() { //guard:prune-gate
		return gate{}, t.unverified(ctx, read.Value)
	}
	facts.Verified, facts.Packs = "all read now", stock.Packs()
	return gate{stock: stock, loose: read.Value.SuggestPrune}, t.remember(o, stock, read.Value)
}

// remember keeps what was read, so that it need not be read again soon.
func (t *Task) remember(o *outlook, stock upkeep.Stock, read restic.CheckReport) *Ending {
	if o.folder == nil || read.SuggestPrune { //guard:prune-loose
		return nil
	}
	if err := (upkeep.Verified{At: t.runner.now().UTC(), Stock: stock}).Write(t.runner.keepsake, o.id); err != nil {
		return failed(CodeJournalFailed, err.Error(), nextJournal)
	}
	return nil
}

// unread says how many packs there are after a prune that were not read before it: those
// that it wrote, and those that somebody has stored meanwhile.
func (t *Task) unread(ctx context.Context, o *outlook, g gate) (now upkeep.Stock, packs int, e *Ending) {
	if now, e = t.stock(ctx, o); e != nil {
		return nil, 0, e
	}
	for _, at := range now.Since(g.stock) {
		if strings.HasPrefix(at, "data/") {
			packs++
		}
	}
	return now, packs, nil
}

// unverified refuses to prune what does not hold what it should.
func (t *Task) unverified(ctx context.Context, read restic.CheckReport) *Ending {
	e := end(spool.Failed, CodePruneUnverified, "nothing was removed: the data was read, and "+whatIsBroken(read)+
		". A prune could keep the wrong one of two copies", "restore from the snapshots still works. At the maintenance host, as root: put the named packs "+
		"aside, repair the index, and check again; see the recovery page of the manual")
	return t.brokenRows(ctx, read).into(&e)
}

// whatIsBroken names the first packs.
func whatIsBroken(read restic.CheckReport) string {
	var named []string
	for _, id := range read.BrokenPacks[:min(len(read.BrokenPacks), 8)] {
		named = append(named, id[:min(8, len(id))])
	}
	if len(named) == 0 {
		return fmt.Sprintf("%d errors were found", read.NumErrors)
	}
	return fmt.Sprintf("packs %s… hold wrong content", strings.Join(named, ", "))
}

func (t *Task) brokenRows(ctx context.Context, read restic.CheckReport) *rows {
	list := t.rows(ctx)
	for _, id := range read.BrokenPacks {
		if list.Add(map[string]any{"pack_id": id, "problem": "holds wrong content"}) != nil {
			break
		}
	}
	return list
}
