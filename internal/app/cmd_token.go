package app

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
)

// Token is the commands about who may ask the status service, and who may act.
type Token struct {
	Create TokenCreate `cmd:"" help:"Make a token and print it, once."`
	List   TokenList   `cmd:"" help:"List the tokens, without their secrets."`
	Revoke TokenRevoke `cmd:"" help:"End a token and every browser's session that it began."`
}

// TokenCreate makes a token.
type TokenCreate struct {
	Name    string        `arg:"" help:"Whose it is: a team, a program."`
	Role    elt.Role      `enum:"viewer,operator,admin" default:"viewer" help:"What it may do: viewer reads; operator also acts on days, runs, schedules, backfills and incidents; admin also makes tokens."`
	Expires time.Duration `default:"2160h" help:"After how long it ends; 0 never."`
}

// Help is the long help of the command.
func (TokenCreate) Help() string {
	return `Makes a token for the status service and prints it on standard output: once, as only its digest is kept. A running service knows it at once.

  daybreak token create finance-reports
  daybreak token create on-call --role operator --expires 720h`
}

// Run runs the command.
func (t *TokenCreate) Run(ctx context.Context, g *Globals, c *Console) error {
	if name := strings.TrimSpace(t.Name); name == "" || len(name) > 80 || strings.ContainsAny(name, "\r\n\t") {
		return &elt.Error{Code: "bad_token_name", Class: elt.Config, What: fmt.Sprintf("%q cannot name a token", t.Name), Do: "name the team or program that will use it, in at most 80 characters of one line"}
	}
	return withLedger(ctx, g, c, func(book *ledger.Ledger) error {
		text, id := elt.NewTokenText()
		token := elt.Token{ID: id, Name: strings.TrimSpace(t.Name), Role: t.Role, CreatedBy: actor()}
		now, err := book.Now(ctx)
		if err != nil {
			return err
		}
		if t.Expires != 0 {
			token.ExpiresAt = now.Add(t.Expires)
		}
		if token, err = book.CreateToken(ctx, token, elt.DigestOf(text)); err != nil {
			return err
		}
		c.printf("%s\n", text)
		fmt.Fprintf(c.Err, "This is shown once. It is %s's, may do what a %s may, and %s. Revoke it with: daybreak token revoke %s\n", token.Name, token.Role, ends(token), id)
		return nil
	})
}

// ends says in words how long a token is valid.
func ends(t elt.Token) string {
	if t.ExpiresAt.IsZero() {
		return "never ends"
	}
	return "ends on " + t.ExpiresAt.Local().Format("Mon 2 Jan 2006, 15:04 MST")
}

// TokenList lists the tokens.
type TokenList struct {
	JSON bool `name:"json" help:"Print JSON instead of a table."`
}

// Help is the long help of the command.
func (TokenList) Help() string {
	return `Lists every token there ever was: whose it is, what it may do, who made it, and whether it still lets anybody in. Their texts are nowhere kept.

  daybreak token list`
}

// Run runs the command.
func (t *TokenList) Run(ctx context.Context, g *Globals, c *Console) error {
	return withLedger(ctx, g, c, func(book *ledger.Ledger) error {
		tokens, err := book.Tokens(ctx)
		if err != nil {
			return err
		}
		now, err := book.Now(ctx)
		if err != nil {
			return err
		}
		if t.JSON {
			b, err := json.MarshalIndent(tokens, "", "  ")
			c.printf("%s\n", b)
			return err
		}
		if len(tokens) == 0 {
			c.printf("There are no tokens. Make one with: daybreak token create NAME\n")
			return nil
		}
		w := tabwriter.NewWriter(c.Out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "ID\tNAME\tROLE\tMADE\tBY\tSTATE")
		for _, t := range tokens {
			state := ends(t)
			switch {
			case !t.RevokedAt.IsZero():
				state = "revoked on " + t.RevokedAt.Local().Format("2 Jan 2006") + " by " + t.RevokedBy
			case !t.ValidAt(now):
				state = "ended on " + t.ExpiresAt.Local().Format("2 Jan 2006")
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", t.ID, t.Name, t.Role, t.CreatedAt.Local().Format("2 Jan 2006"), t.CreatedBy, state)
		}
		return w.Flush()
	})
}

// TokenRevoke ends a token.
type TokenRevoke struct {
	ID elt.TokenID `arg:"" help:"Its ID, from daybreak token list."`
}

// Help is the long help of the command.
func (TokenRevoke) Help() string {
	return `Ends a token within a second, and with it every browser's session that it began. Revoking it again is harmless.

  daybreak token revoke k3jd72xq`
}

// Run runs the command.
func (t *TokenRevoke) Run(ctx context.Context, g *Globals, c *Console) error {
	return withLedger(ctx, g, c, func(book *ledger.Ledger) error {
		token, err := book.RevokeToken(ctx, t.ID, actor())
		if err == nil {
			c.printf("Token %s of %s has ended.\n", token.ID, token.Name)
		}
		return err
	})
}

// withLedger does something on the workspace's ledger, bringing its tables up to date first.
func withLedger(ctx context.Context, g *Globals, c *Console, do func(*ledger.Ledger) error) error {
	ws, err := loadWorkspace(ctx, g.workspace())
	if err != nil {
		return err
	}
	book, err := ledger.Open(ctx, ws.config.Ledger.Reveal(), c.Logger(g, slog.LevelWarn))
	if err != nil {
		return err
	}
	if err = book.Migrate(ctx); err == nil {
		err = do(book)
	}
	if closed := book.Close(); err == nil {
		err = closed
	}
	return err
}
