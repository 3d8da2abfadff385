package demo

import (
	"strconv"
	"strings"
)

// phrases is what one language says in a conversation. "{n}" becomes a number, "{f}" a feature.
type phrases struct {
	hello, ask, more []string // a contact's; a greeting brings its own punctuation
	answer, closing  []string // an agent's
	bye, features    []string
}

var languages = map[string]phrases{
	"en": {
		hello:    []string{"Hi! ", "Hello. ", "Hey there 👋 ", "Good morning! ", "Hi team. "},
		ask:      []string{"I can’t get the {f} to work since this morning.", "How do I add one more person to the {f}?", "We were charged twice, see order #{n}.", "The {f} shows {n} but it should be a lot less.", "Is there a way to export the {f} as CSV?", "Our {f} is very slow today.", "Could you tell me what is included in the {f}?", "I changed the {f} and now nothing loads 😩"},
		more:     []string{"It says “error {n}”.", "Same in another browser.", "No hurry, just curious.", "It worked last week.", "I tried that already; it didn’t help.", "That is urgent for us, {n} people are waiting.", "Screenshot attached."},
		answer:   []string{"Thanks for writing in! I’m looking at the {f} now.", "I can see what happened: the limit is {n} and you are just over it.", "Could you try once more? I reset the {f} on our side.", "I passed this on to the team, reference {n}.", "That is a known problem and a fix is on its way.", "Sure: open the settings, then choose the {f}.", "I refunded order #{n}; it takes three to five days."},
		closing:  []string{"Anything else I can do?", "Have a nice day!", "All the best 👋"},
		bye:      []string{"Thanks!", "Perfect, that worked 🎉", "Great, thank you so much.", "👍"},
		features: []string{"inbox", "reports", "calendar", "import", "mobile app", "invoice page", "team view", "webhook"},
	},
	"de": {
		hello:    []string{"Hallo, ", "Guten Tag, ", "Moin, "},
		ask:      []string{"seit heute früh lässt sich „{f}“ nicht mehr öffnen.", "wie füge ich eine weitere Person hinzu?", "Bestellung Nr. {n} wurde doppelt abgebucht.", "kann ich „{f}“ als CSV ausgeben?"},
		more:     []string{"Die Meldung lautet „Fehler {n}“.", "Größere Anhänge gehen auch nicht.", "Es eilt nicht.", "Im anderen Browser dasselbe."},
		answer:   []string{"vielen Dank für Ihre Nachricht! Ich prüfe „{f}“ gerade.", "das Limit liegt bei {n}, Sie sind knapp darüber.", "bitte versuchen Sie es noch einmal, ich habe „{f}“ zurückgesetzt."},
		closing:  []string{"Viele Grüße", "Schönen Tag noch!"},
		bye:      []string{"Danke schön!", "Läuft wieder, super 👍"},
		features: []string{"Posteingang", "Auswertung", "Kalender", "Übersicht"},
	},
	"fr": {
		hello:    []string{"Bonjour, ", "Bonjour à tous, ", "Bonsoir, "},
		ask:      []string{"{f} ne s’ouvre plus depuis ce matin.", "la commande nº {n} a été débitée deux fois.", "comment ajouter une personne de plus ?", "peut-on exporter {f} en CSV ?"},
		more:     []string{"Le message est « erreur {n} ».", "C’est plutôt pressé.", "Même chose dans un autre navigateur."},
		answer:   []string{"merci pour votre message ! Je regarde {f}.", "la limite est de {n}, vous l’avez dépassée de peu.", "pourriez-vous réessayer ? J’ai réinitialisé {f}."},
		closing:  []string{"Bien à vous", "Bonne journée !"},
		bye:      []string{"Merci beaucoup !", "Ça marche, génial 🎉", "Bonne journée !"},
		features: []string{"la boîte de réception", "le calendrier", "la page des factures", "le rapport"},
	},
	"es": {
		hello:    []string{"Hola, ", "Buenos días, ", "¡Buenas! "},
		ask:      []string{"¿cómo añado a otra persona?", "{f} no funciona desde esta mañana.", "el pedido n.º {n} se cobró dos veces.", "¿se puede exportar {f} a CSV?"},
		more:     []string{"Dice «error {n}».", "No corre prisa.", "Ayer aún funcionaba, ¡qué raro!"},
		answer:   []string{"¡gracias por escribirnos! Estoy mirando {f}.", "el límite es {n} y lo superáis por poco.", "¿puedes probar otra vez? He reiniciado {f}."},
		closing:  []string{"¡Un saludo!", "Que tengas un buen día."},
		bye:      []string{"¡Gracias!", "¡Perfecto, ya está! 🎉", "Que tengas un buen día."},
		features: []string{"la bandeja de entrada", "el calendario", "el informe", "la página de facturas"},
	},
	"pt": {
		hello:    []string{"Olá, ", "Bom dia, ", "Oi, "},
		ask:      []string{"não consigo abrir {f} desde hoje cedo.", "o pedido nº {n} foi cobrado duas vezes.", "como adiciono mais uma pessoa?"},
		more:     []string{"Aparece “erro {n}”.", "Não é urgente.", "Também não funciona em outro navegador."},
		answer:   []string{"obrigada pela mensagem! Já estou vendo {f}.", "o limite é {n}, e vocês passaram por pouco.", "pode tentar de novo? Reiniciei {f}."},
		closing:  []string{"Um abraço", "Bom dia!"},
		bye:      []string{"Obrigado!", "Funcionou, ótimo 🎉", "Até amanhã!"},
		features: []string{"a caixa de entrada", "o calendário", "o relatório", "a página de faturas"},
	},
	"pl": {
		hello:    []string{"Dzień dobry, ", "Cześć, "},
		ask:      []string{"od rana nie działa {f}.", "zamówienie nr {n} zostało pobrane dwa razy.", "jak dodać kolejną osobę?"},
		more:     []string{"Komunikat brzmi „błąd {n}”.", "To dość pilne.", "W innej przeglądarce jest tak samo."},
		answer:   []string{"dziękuję za wiadomość! Sprawdzam, co się dzieje.", "limit wynosi {n}, jest lekko przekroczony.", "proszę spróbować jeszcze raz."},
		closing:  []string{"Pozdrawiam serdecznie", "Miłego dnia!"},
		bye:      []string{"Dziękuję!", "Działa, świetnie 🎉", "Miłego dnia!"},
		features: []string{"skrzynka odbiorcza", "kalendarz", "raport", "wyszukiwarka"},
	},
	"el": {
		hello:    []string{"Γεια σας, ", "Καλημέρα, "},
		ask:      []string{"από το πρωί δεν λειτουργεί {f}.", "η παραγγελία {n} χρεώθηκε δύο φορές."},
		more:     []string{"Γράφει «σφάλμα {n}».", "Δεν είναι επείγον."},
		answer:   []string{"ευχαριστούμε για το μήνυμα! Το κοιτάζω τώρα.", "το όριο είναι {n}."},
		closing:  []string{"Καλή συνέχεια!"},
		bye:      []string{"Ευχαριστώ!", "Τέλεια 🎉"},
		features: []string{"το ημερολόγιο", "η αναφορά"},
	},
	"ja": {
		hello:    []string{"こんにちは。", "お世話になっております。", "おはようございます。"},
		ask:      []string{"今朝から{f}が開けません。", "注文番号{n}が二重に請求されています。", "{f}をCSVで書き出せますか？", "もう一人追加する方法を教えてください。"},
		more:     []string{"「エラー{n}」と表示されます。", "急ぎではありません。", "別のブラウザでも同じです。"},
		answer:   []string{"ご連絡ありがとうございます。ただいま{f}を確認しております。", "上限は{n}件です。", "お手数ですが、もう一度お試しください。"},
		closing:  []string{"よろしくお願いいたします。"},
		bye:      []string{"ありがとうございました。", "解決しました🎉", "よろしくお願いいたします。"},
		features: []string{"受信箱", "カレンダー", "レポート", "請求書の画面"},
	},
}

// writer composes the messages of one conversation.
type writer struct {
	d dice
	p phrases
	b *strings.Builder
}

// opening is a contact's first message.
func (w writer) opening() string { return w.compose(.8, w.p.hello, w.p.ask, w.p.more, .55, nil) }

// reply is a contact's later message: often short, sometimes pages.
func (w writer) reply(last bool) string {
	if last {
		return pick(w.d, w.p.bye)
	}
	return w.compose(0, nil, w.p.more, w.p.ask, .3, nil)
}

// answer is an agent's message.
func (w writer) answer(first bool) string {
	hello := 0.1
	if first {
		hello = .9
	}
	return w.compose(hello, w.p.hello, w.p.answer, w.p.answer, .35, w.p.closing)
}

// compose joins a greeting, sentences with a long tail of further ones, and a closing.
func (w writer) compose(hello float64, greet, start, further []string, again float64, closing []string) string {
	w.b.Reset()
	if w.d.chance(hello) {
		w.b.WriteString(pick(w.d, greet))
	}
	said := pick(w.d, start)
	w.sentence(said)
	for n := 0; n < 40 && w.d.chance(again); n++ {
		if next := pick(w.d, further); next != said {
			said = next
			w.b.WriteByte(' ')
			w.sentence(said)
		}
	}
	if closing != nil && w.d.chance(.3) {
		w.b.WriteString("\n\n")
		w.b.WriteString(pick(w.d, closing))
	}
	return w.b.String()
}

func (w writer) sentence(s string) {
	for {
		i := strings.IndexByte(s, '{')
		if i < 0 {
			w.b.WriteString(s)
			return
		}
		w.b.WriteString(s[:i])
		if s[i+1] == 'n' {
			w.b.WriteString(strconv.Itoa(w.d.between(2, 9999)))
		} else {
			w.b.WriteString(pick(w.d, w.p.features))
		}
		s = s[i+3:]
	}
}
