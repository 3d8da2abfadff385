package demo

import "strings"

// script is the material that names are composed of: common given names, and syllables for family names.
type script struct {
	given  []string
	first  []string
	last   []string
	family bool // the family name comes first, without a space
}

var scripts = map[string]script{
	"latin": {
		given: strings.Fields("Ada Ben Chloe Dylan Ella Finn Grace Harry Isla Jack Kate Liam Maeve Noah Orla Quinn Rose Seán Tess Uma Wes Zoë Ciarán Siobhán"),
		first: strings.Fields("Ash Black Brook Cal Dun Ever Fair Glen Har Kil Mar North O’Con O’Shea Pem Ross Stan Thorn Wal Wind"),
		last:  strings.Fields("bourne brook by combe dale field ford hurst land ley low more nell stead ton wick wood worth"),
	},
	"german": {
		given: strings.Fields("Anna Björn Clara Dörte Emil Frieda Günther Hanna Ingo Jürgen Käthe Lena Måns Nils Åsa Östen Paula Rüdiger Sven Thea Uwe Zoe"),
		first: strings.Fields("Alt Bau Berg Büch Eich Feld Grün Häuß Kirch Lind Mühl Neu Ober Rößl Schön Stein Wald Weiß"),
		last:  strings.Fields("bach berger dorf er feld hofer holm inger kamp ler lund mann meier qvist ström thal"),
	},
	"romance": {
		given: strings.Fields("Aïcha Bruno Célia Davi Élodie Félix Gaël Hélène Íris João Léa Mateo Noé Núria Óscar Paço Renée Sofía Thaís Úrsula Víctor Zélia"),
		first: strings.Fields("Al Bar Beau Cal Cor Del Es Fon La Mal Mon Nog Oli Per Pin Ri Sal Tor Val Vil"),
		last:  strings.Fields("bière cão deira dès gues hães lier món nez ñoz quez reira rière tières vieira zón"),
	},
	"polish": {
		given: strings.Fields("Agnieszka Błażej Celina Dorota Elżbieta Franciszek Grażyna Hanna Jędrzej Kasia Łukasz Małgorzata Paweł Róża Stanisław Żaneta"),
		first: strings.Fields("Brzoz Dąbr Gór Jawor Kaczm Krzyż Leśn Mał Nowak Olsz Pięk Sikor Świą Wiśn Wróbl Źródl Żel"),
		last:  strings.Fields("ak arek ecki ewicz icz ik owicz owska owski ski yński czyk"),
	},
	"greek": {
		given: strings.Fields("Αλέξης Βασιλική Γιώργος Δήμητρα Ελένη Ζωή Ηλίας Θάλεια Ιωάννα Κώστας Λυδία Μαρία Νίκος Ξένια Σοφία Χρήστος"),
		first: strings.Fields("Αγγελ Βλαχ Γεωργ Δημ Καρ Λαμπρ Μακρ Νικολ Παπα Ραφτ Σταυρ Χατζ"),
		last:  strings.Fields("άκης άκος έας ίδης ιάδης όπουλος ούλης ώτης"),
	},
	"turkish": {
		given: strings.Fields("Ayşe Barış Çağla Deniz Elif Ferit Gökçe Hülya Işıl İpek Jale Kerem Ömer Özgür Selin Şule Ufuk Ümit Yağız Zeynep"),
		first: strings.Fields("Ak Altın Bozk Çelik Dağ Demir Er Gün Kaya Kılıç Öz Şahin Taş Toprak Yıl Yıldır"),
		last:  strings.Fields("alp bay can demir er gil han lı oğlu soy taş tekin"),
	},
	"hindi": {
		given: strings.Fields("आरव इशा कविता गौरव जया तारा दीपा नील प्रिया भरत मीरा राहुल रोहन लता विजय सुमन सूरज हरि"),
		first: strings.Fields("आन कर गुण चन्द्र जय देव नर पूर्ण राज विश्व शिव सूर्य"),
		last:  strings.Fields("कर नाथ पाल प्रकाश राज वाल शेखर"),
	},
	"japanese": {
		given:  strings.Fields("蒼 陽菜 湊 結衣 大翔 さくら 蓮 葵 悠真 美咲 樹 凛 新 楓 陸 花 さとし ゆかり"),
		first:  strings.Fields("青 石 上 大 岡 北 黒 小 高 田 中 西 野 東 松 三 南 森 山 吉"),
		last:   strings.Fields("井 尾 川 木 口 坂 崎 沢 島 瀬 谷 塚 野 橋 原 村 本 山"),
		family: true,
	},
	"arabic": {
		given: strings.Fields("آدم بسمة جمال حنان خالد دينا رامي زينب سامي شيماء طارق عمر فريدة كريم ليلى منى نور هدى ياسمين"),
		first: strings.Fields("عبد نور سيف تاج بدر فخر شمس ضياء"),
		last:  strings.Fields("الدين الرحمن الحق الكريم الهادي السلام"),
	},
}

// person returns a made-up full name in the script.
func (s script) person(d dice) string {
	family := pick(d, s.first) + pick(d, s.last)
	if s.family {
		return family + pick(d, s.given)
	}
	return pick(d, s.given) + " " + family
}

// house is the material of company names. The stems are plain ASCII, so that a domain can follow.
var house = struct{ stems, ends, trades []string }{
	stems:  strings.Fields("Alder Amber Birch Bright Cedar Clear Cobalt Copper Coral Delta Ember Fern Flint Harbor Hazel Indigo Iron Juniper Kestrel Lark Linden Lumen Maple Meadow Mistral Nimbus Nova Oak Onyx Opal Orchid Pebble Pine Quartz Raven River Saffron Silver Sparrow Summit Tidal Umber Vela Willow Wren Zephyr"),
	ends:   strings.Fields("beam bridge craft dale desk field flow forge gate grid haven kit lane leaf loop mark mill path peak point port shed stack stone vale way well works yard"),
	trades: []string{"", "", "", " & Söhne", " Health", " Labs", " Logistics", " S.A.", " Studio", " Travel", " Energía", " Éditions", " 株式会社", " GmbH", " Ltd", " Oy", " ehf.", " Sp. z o.o.", "™"},
}
