package browser

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"
)

// patience is how long a browser may take for anything, on a machine that has
// other things to do.
const patience = 30 * time.Second

// user is somebody with a browser: a profile with cookies of its own, and tabs.
type user struct {
	t   *testing.T
	ctx context.Context // of the first tab
}

// person returns somebody who has never been here.
func person(t *testing.T) *user {
	t.Helper()
	ctx, cancel := chromedp.NewContext(chromium, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	must(t, chromedp.Do(ctx))
	return &user{t, ctx}
}

// tab is one of a user's tabs.
type tab struct {
	t   *testing.T
	ctx context.Context
}

// tab opens an empty one.
func (u *user) tab() *tab {
	u.t.Helper()
	ctx, cancel := chromedp.NewContext(u.ctx)
	u.t.Cleanup(cancel)
	must(u.t, chromedp.Do(ctx)) // without a deadline: it would be that of the tab
	return &tab{u.t, ctx}
}

func (u *user) tabs(n int) []*tab {
	u.t.Helper()
	all := make([]*tab, n)
	for i := range all {
		all[i] = u.tab()
	}
	return all
}

// do runs steps in the tab.
func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("%v\nthe tab shows %s", err, b.shows())
	}
}

// open goes to a page and waits until that, or where it was sent, has loaded.
func (b *tab) open(url string) *tab {
	b.t.Helper()
	b.do(chromedp.Navigate(url))
	return b
}

// head goes to a page and waits for nothing.
func (b *tab) head(url string) {
	b.t.Helper()
	script := "setTimeout(() => location.href = " + strconv.Quote(url) + ", 0), true"
	if _, err := js[bool](b, script); err != nil {
		b.t.Error(err)
	}
}

// js evaluates an expression in the tab, which may be between two pages.
func js[T any](b *tab, expression string) (T, error) {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// until waits until an expression is true, over as many pages as that takes.
func (b *tab) until(condition string) {
	b.t.Helper()
	eventually(b.t, func() bool {
		is, err := js[bool](b, "!!("+condition+")")
		return err == nil && is
	}, func() string { return fmt.Sprintf("never: %s\nthe tab shows %s", condition, b.shows()) })
}

// sees waits for a text.
func (b *tab) sees(text string) *tab {
	b.t.Helper()
	b.until("document.body && document.body.innerText.includes(" + strconv.Quote(text) + ")")
	return b
}

// arrives waits for a page with this path.
func (b *tab) arrives(path string) *tab {
	b.t.Helper()
	b.until("document.readyState === 'complete' && location.pathname === " + strconv.Quote(path))
	return b
}

// click clicks on what a selector finds, when it can be seen.
func (b *tab) click(selector string) {
	b.t.Helper()
	b.do(chromedp.WaitVisible(chromedp.CSS(selector)), chromedp.Click(chromedp.CSS(selector)))
}

// follow clicks on what leads to another page, and waits until that has taken the
// place of this one: it may look the same.
func (b *tab) follow(selector string) *tab {
	b.t.Helper()
	_, err := js[bool](b, "window.left = true")
	must(b.t, err)
	b.click(selector)
	b.until("!window.left && document.readyState === 'complete'")
	return b
}

// shows tells what a failed test wants to know.
func (b *tab) shows() string {
	s, err := js[string](b, "location.href + ': ' + (document.body ? document.body.innerText.slice(0, 600) : '')")
	if err != nil {
		return err.Error()
	}
	return s
}

// withoutScripts turns JavaScript off, as the settings of a browser do.
func (b *tab) withoutScripts() {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	must(b.t, err)
}

// loads is head for a tab without scripts.
func (b *tab) loads(url string) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, page.Navigate, page.NavigateParams{URL: url})
	must(b.t, err)
}

// cookies returns the values of the cookies that the browser keeps, whoever may
// see them.
func (u *user) cookies() map[string]string {
	u.t.Helper()
	values := map[string]string{}
	for _, c := range u.jar() {
		values[c.Name] = c.Value
	}
	return values
}

func (u *user) jar() []*network.Cookie {
	u.t.Helper()
	id := chromedp.FromContext(u.ctx).BrowserContextID
	all, err := chromedp.CallBrowser(u.ctx, storage.GetCookies, storage.GetCookiesParams{BrowserContextID: id})
	must(u.t, err)
	return all.Cookies
}

// keep replaces the value of a cookie that is there.
func (u *user) keep(name, value string) {
	u.t.Helper()
	for _, c := range u.jar() {
		if c.Name != name {
			continue
		}
		_, err := chromedp.CallBrowser(u.ctx, storage.SetCookies, storage.SetCookiesParams{
			BrowserContextID: chromedp.FromContext(u.ctx).BrowserContextID,
			Cookies: []*network.CookieParam{{
				Name: name, Value: value, Domain: c.Domain, Path: c.Path, Secure: c.Secure, HTTPOnly: c.HTTPOnly, SameSite: c.SameSite,
			}},
		})
		must(u.t, err)
		return
	}
	u.t.Fatalf("there is no cookie %s", name)
}

// picture keeps what the tab shows, if somebody wants to look at it.
func (b *tab) picture(name string) {
	b.t.Helper()
	dir := os.Getenv("REBEARER_SCREENSHOTS")
	if dir == "" {
		return
	}
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	must(b.t, err)
	must(b.t, os.MkdirAll(dir, 0o755))
	must(b.t, os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644))
}

// eventually waits until something is so.
func eventually(t *testing.T, is func() bool, otherwise func() string) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(otherwise())
		}
	}
}

// takes copies the cookies of somebody else.
func (u *user) takes(from *user) {
	u.t.Helper()
	var all []*network.CookieParam
	for _, c := range from.jar() {
		all = append(all, &network.CookieParam{
			Name: c.Name, Value: c.Value, Domain: c.Domain, Path: c.Path, Secure: c.Secure, HTTPOnly: c.HTTPOnly, SameSite: c.SameSite,
		})
	}
	_, err := chromedp.CallBrowser(u.ctx, storage.SetCookies, storage.SetCookiesParams{
		BrowserContextID: chromedp.FromContext(u.ctx).BrowserContextID, Cookies: all,
	})
	must(u.t, err)
}
