// Package webtest is a real Chromium for tests of pages. Where there is none a test is
// skipped, in CI it fails.
package webtest

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"restic-manager/restic/restictest"
)

// Browser starts one Chromium for a test; its tabs share cookies and locks.
func Browser(t *testing.T) context.Context {
	t.Helper()
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(restictest.Program(t, "chromium")), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("force-prefers-reduced-motion", true)) // twenty tabs that draw at once would measure the processor
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	begin(t, ctx, chromedp.Navigate("about:blank"))
	return ctx
}

// Open opens a tab of the browser and fails the test for whatever a page writes to its
// console (errors, refused connections, breaches of the policy), but for what holds a
// quiet word.
func Open(t *testing.T, browser context.Context, quiet ...string) context.Context {
	t.Helper()
	tab, cancel := chromedp.NewContext(browser)
	messages := chromedp.Console(tab)
	begin(t, tab, chromedp.EmulateViewport(1280, 900))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for message, err := range messages {
			if err != nil {
				return
			}
			hint := message.Type == chromedp.ConsoleDebug || // of the browser, about style
				strings.HasPrefix(message.Text, "Autofocus processing was blocked") // a key came before it, and rightly keeps the focus
			if !hint && !slices.ContainsFunc(quiet, func(word string) bool { return strings.Contains(message.Text, word) }) {
				t.Errorf("console: %s: %s", message.Type, message.Text)
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return tab
}

// begin takes the first step, whose context is that of the browser or tab which it
// makes: with a limit of time of its own, both would end with it.
func begin(t *testing.T, ctx context.Context, step chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(ctx, step); err != nil {
		t.Fatal(err)
	}
}

// Do takes steps in a tab.
func Do(t *testing.T, tab context.Context, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(tab, time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatal(err)
	}
}

// Value evaluates an expression in the page.
func Value[T any](t *testing.T, tab context.Context, expression string) T {
	t.Helper()
	v, err := chromedp.Run(tab, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("%.200s: %v", expression, err)
	}
	return v
}

// Until waits for an expression to become true in the page, or in the one that it leads
// to.
func Until(t *testing.T, tab context.Context, expression string) {
	t.Helper()
	for {
		_, err := chromedp.Run(tab, chromedp.Poll[bool](expression, chromedp.WithPollingTimeout(time.Minute), chromedp.WithPollingInterval(50*time.Millisecond)))
		if err == nil {
			return
		}
		left := strings.Contains(err.Error(), "navigated") || strings.Contains(err.Error(), "Cannot find context")
		if !left {
			t.Fatalf("waited for %s: %v", expression, err)
		}
	}
}

// Keep writes a picture of the whole page where RM_SCREENSHOTS names a folder.
func Keep(t *testing.T, tab context.Context, name string) {
	t.Helper()
	folder := os.Getenv("RM_SCREENSHOTS")
	if folder == "" {
		return
	}
	picture, err := chromedp.Run(tab, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, name+".png"), picture, 0o644); err != nil {
		t.Fatal(err)
	}
}
