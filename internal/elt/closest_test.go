package elt

import "testing"

func TestClosest(t *testing.T) {
	known := []string{"revenue", "revenue_by_day", "shop.users", "shop.orders", "billing.orders"}
	for name, want := range map[string]string{
		"revneue": "revenue", "REVENUE": "revenue", "users": "shop.users", "user": "shop.users", "shop.user": "shop.users", "shop.oders": "shop.orders",
		"orders":  "billing.orders", // the first of two that are as near
		"weather": "", "": "", "crm.users": "", "a name that is far too long to be that of anything that anybody would ever have called so": "",
	} {
		if got := Closest(name, known); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}
