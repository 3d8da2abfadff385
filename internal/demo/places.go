package demo

import (
	"fmt"
	"time"
)

// place is where a customer is: what it pays in, when it works, what it is called and what it writes.
type place struct {
	country  string
	zone     string
	currency string
	tax      int64 // in basis points of the subtotal
	names    string
	language string
	weight   float64
	loc      *time.Location
}

func places() ([]place, error) {
	all := []place{
		{country: "US", zone: "America/New_York", currency: "USD", tax: 888, names: "latin", language: "en", weight: 16},
		{country: "US", zone: "America/Chicago", currency: "USD", tax: 625, names: "latin", language: "en", weight: 7},
		{country: "US", zone: "America/Los_Angeles", currency: "USD", tax: 950, names: "latin", language: "en", weight: 13},
		{country: "CA", zone: "America/St_Johns", currency: "CAD", tax: 1500, names: "latin", language: "en", weight: 2},
		{country: "IE", zone: "Europe/Dublin", currency: "EUR", tax: 2300, names: "latin", language: "en", weight: 8},
		{country: "GB", zone: "Europe/London", currency: "GBP", tax: 2000, names: "latin", language: "en", weight: 11},
		{country: "DE", zone: "Europe/Berlin", currency: "EUR", tax: 1900, names: "german", language: "de", weight: 9},
		{country: "FR", zone: "Europe/Paris", currency: "EUR", tax: 2000, names: "romance", language: "fr", weight: 7},
		{country: "ES", zone: "Europe/Madrid", currency: "EUR", tax: 2100, names: "romance", language: "es", weight: 4},
		{country: "PL", zone: "Europe/Warsaw", currency: "PLN", tax: 2300, names: "polish", language: "pl", weight: 4},
		{country: "SE", zone: "Europe/Stockholm", currency: "SEK", tax: 2500, names: "german", language: "en", weight: 3},
		{country: "GR", zone: "Europe/Athens", currency: "EUR", tax: 2400, names: "greek", language: "el", weight: 2},
		{country: "TR", zone: "Europe/Istanbul", currency: "USD", tax: 0, names: "turkish", language: "en", weight: 2},
		{country: "BR", zone: "America/Sao_Paulo", currency: "BRL", tax: 0, names: "romance", language: "pt", weight: 5},
		{country: "IN", zone: "Asia/Kolkata", currency: "USD", tax: 1800, names: "hindi", language: "en", weight: 4},
		{country: "NP", zone: "Asia/Kathmandu", currency: "USD", tax: 0, names: "hindi", language: "en", weight: 1},
		{country: "JP", zone: "Asia/Tokyo", currency: "JPY", tax: 1000, names: "japanese", language: "ja", weight: 6},
		{country: "EG", zone: "Africa/Cairo", currency: "USD", tax: 0, names: "arabic", language: "en", weight: 1},
		{country: "AU", zone: "Australia/Adelaide", currency: "AUD", tax: 1000, names: "latin", language: "en", weight: 4},
	}
	for i := range all {
		loc, err := time.LoadLocation(all[i].zone)
		if err != nil {
			return nil, fmt.Errorf("load time zone of the demo's customers: %w", err)
		}
		all[i].loc = loc
	}
	return all, nil
}

// priceLevel is what one US dollar of the price list costs in hundredths of the currency.
func priceLevel(currency string) int64 {
	return map[string]int64{
		"USD": 100, "EUR": 95, "GBP": 80, "CAD": 135, "AUD": 150, "PLN": 400, "SEK": 1050, "BRL": 500, "JPY": 15000,
	}[currency]
}

// hourShape is how busy each hour of a customer's own day is, and dayShape each weekday from Sunday.
var (
	hourShape = [24]float64{.25, .15, .1, .1, .1, .2, .5, 1.2, 3, 5.5, 6.5, 6.2, 4.6, 5, 6, 5.8, 5, 3.8, 2.4, 1.7, 1.4, 1.1, .8, .45}
	dayShape  = [7]float64{.24, 1.22, 1.15, 1.08, 1.02, .86, .32}
)
