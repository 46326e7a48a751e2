"""Texts of plain English, written for this purpose, to stand in for a collection that is still small.

They are short passages about many things, so that the similarities between their tokens are those of ordinary
language: what chance makes of two words that have nothing to do with each other, in the context of others.
"""

from __future__ import annotations

__all__ = ["REFERENCE"]

REFERENCE: tuple[str, ...] = (
    (
        "The kitchen window was open and the smell of bread came in from the bakery across the street. She put the "
        "kettle on, fed the cat, and looked for her keys, which were never where she had left them. It had rained in "
        "the night; the steps were still wet, and somebody had left a blue umbrella beside the door. The bus would "
        "come in ten minutes, so there was just enough time for a cup of tea and half a slice of toast."
    ),
    (
        "In early spring the river rises with the melting snow and floods the meadows on both banks. Herons stand in "
        "the shallow water and wait for frogs and small fish. By May the grass is knee high, the swallows have come "
        "back, and the first dragonflies hunt above the reeds. A fox was seen twice near the old mill, always at dusk "
        "and always alone. In a dry summer the stream shrinks to a row of pools, and the trout move up to the shaded "
        "gravel below the weir."
    ),
    (
        "If the service does not start after an update, read the log first: most failures are a missing file, a port "
        "that is already in use, or a setting that was renamed. Stop the old process, check that the folder for "
        "temporary files is writable, and run the command again with verbose output. To go back to the earlier "
        "version, restore the backup of the database before you install the older package, because newer tables "
        "cannot be read by it."
    ),
    (
        "Heat two spoons of oil in a heavy pan and fry the onions slowly until they are soft and golden. Add the "
        "garlic, the chopped carrots and a pinch of salt, and stir for five minutes. Pour in the stock and the "
        "drained lentils, cover the pan, and let everything simmer for half an hour. Taste before you serve it; a "
        "little lemon juice or a handful of fresh parsley makes the soup brighter. It keeps for three days in a cold "
        "place and tastes even better when it is warmed again."
    ),
    (
        "The tenant shall pay the rent in advance on the first working day of each month. If payment is more than "
        "fourteen days late, the landlord may give written notice and claim interest at the rate fixed by law. Either "
        "party may end this agreement with three months' notice, unless a longer term was agreed in writing. Damage "
        "that goes beyond ordinary wear must be repaired at the expense of whoever caused it, and disputes are heard "
        "by the court of the district in which the property lies."
    ),
    (
        "Patients with high blood pressure often notice nothing for years, and the disease is found by chance at a "
        "routine visit. Treatment begins with less salt, regular exercise and a lower body weight; when that is not "
        "enough, a drug is added and the dose is raised step by step. Side effects such as a dry cough, dizziness or "
        "swollen ankles should be reported to the doctor. Pressure is best measured at rest, in the morning, at the "
        "same arm and after five quiet minutes."
    ),
    (
        "For three centuries the town lived from salt. Carts brought it down from the hills, boats carried it to the "
        "coast, and the tax on every barrel paid for the walls, the school and the great bridge. When cheaper salt "
        "arrived by sea, the merchants turned to wool and then to paper. A fire destroyed most of the archives, so "
        "little is known about the families who built the tall houses on the market square, apart from the marks that "
        "masons left in the stone."
    ),
    (
        "A function that reads a file line by line needs hardly any memory, however large the file is. Loading "
        "everything into one list is simpler to write and fails on the first input that does not fit. Close what you "
        "open, even when an error is raised half way; most languages have a statement that does so. Give the error "
        "message the name of the file and the number of the line, since a user who sees only that something went "
        "wrong can do nothing about it."
    ),
    (
        "The home team scored early through a corner kick and then defended its lead for most of the first half. "
        "After the break the visitors changed two players, pressed higher, and hit the post twice before they drew "
        "level. With four minutes left, a long pass found the young winger alone on the right; her low shot beat the "
        "goalkeeper and decided the match. The coach praised the patience of his side and said that the injured "
        "captain would be back next week."
    ),
    (
        "The night train leaves the capital at nine and reaches the coast shortly before sunrise. Tickets are cheaper "
        "when they are booked a month ahead, and a bed in a shared cabin costs little more than a seat. From the "
        "harbour, ferries cross to the islands every two hours in summer and twice a day in winter. Bring warm "
        "clothes for the deck, some cash for the small villages, and a map, because the footpaths above the cliffs "
        "are badly marked."
    ),
    (
        "We measured how fast two species of beetle take up water from humid air at different temperatures. Animals "
        "were kept for six days in closed chambers and weighed every twelve hours. Below ten degrees no difference "
        "was found, whereas at twenty degrees the smaller species gained mass almost twice as quickly. The results "
        "suggest that the structure of the outer shell, and not body size alone, controls the exchange of water. "
        "Limits of the method and the effect of age are discussed."
    ),
    (
        "Interest rates affect households and companies in different ways. A family with a fixed loan feels nothing "
        "until the contract ends, while a shop that borrows from month to month pays more at once. When credit "
        "becomes dear, fewer houses are built, prices rise more slowly, and saving looks attractive again. Central "
        "banks watch wages, rents and the cost of energy, and they try to act early, because a change of policy needs "
        "a year or longer to reach the whole economy."
    ),
    (
        "Young children learn new words fastest when somebody talks with them about what they are looking at. Reading "
        "the same picture book ten times is not a waste: each time, the child predicts a little more of the story. At "
        "school, short tests spread over several weeks help memory better than one long evening of study. Teachers "
        "report that pupils who explain an answer to a classmate remember it longer, and that mistakes which are "
        "discussed openly are rarely made twice."
    ),
    (
        "Before you drill, switch off the current and check the wall for pipes and cables. Mark the height of the "
        "shelf with a pencil and a spirit level, hold the bracket against the line, and drill two holes as deep as "
        "the plugs are long. Tap the plugs in with a hammer, fasten the screws by hand first, and tighten them only "
        "when both sides are straight. A board of twenty millimetres carries books over a span of eighty centimetres "
        "without bending."
    ),
    (
        "The second movement begins with a single cello, soon joined by the violas, and the melody wanders from one "
        "group of strings to the next. What sounds simple at first is built with great care: each return is a little "
        "slower, and the harmony darkens before the final bars. The singer was at her best in the quiet songs, where "
        "every syllable could be understood in the last row. The audience, silent for a moment, then applauded for "
        "several minutes."
    ),
    (
        "Clouds will increase from the west in the course of the afternoon, with light rain reaching the hills by "
        "evening. Winds are moderate, strong near the coast, with gusts of up to seventy kilometres an hour. "
        "Overnight the temperature falls to four degrees, and patches of fog are likely in the valleys. Tomorrow "
        "remains cool and changeable; sunshine and showers alternate, and thunder is possible in the south. From "
        "Thursday onwards high pressure brings dry and much warmer air."
    ),
    (
        "Light from a distant galaxy reaches us after millions of years, so a telescope always looks into the past. "
        "By splitting the light into its colours, astronomers learn which elements a star contains, how hot it is, "
        "and whether it moves towards us or away. A planet that passes in front of its star dims it by a tiny "
        "fraction. Thousands of such worlds have been found in this way, most of them larger than the earth and far "
        "too hot for liquid water."
    ),
    (
        "Bees visit the flowers of the apple trees only on mild days, and a cold week in April can ruin the harvest. "
        "Farmers plant strips of clover between the rows, leave some dead wood in place, and spray, if they must, "
        "after sunset. The soil is tested every third year; lime is added where it is too acid, and compost where it "
        "has become poor. Old varieties bear less fruit but keep until March, and several resist scab without any "
        "treatment."
    ),
    (
        "The committee met on Tuesday to discuss the plan for the new library. Two members asked for more seats and "
        "longer opening hours, and the treasurer reminded everyone that the budget had been cut by a fifth. After a "
        "long debate the meeting agreed to keep the reading room, to give up the café, and to ask the county for a "
        "grant. The minutes of the last meeting were approved, and the next one was fixed for the end of June."
    ),
    (
        "A bicycle chain lasts longer when it is wiped after every ride in the wet and oiled with only a few drops. "
        "If the gears slip, the cable has usually stretched; turn the small screw at the lever until the chain runs "
        "quietly again. Brake pads should be replaced before the metal shows. Check the pressure of the tyres once a "
        "week, tighten the bolts of the saddle, and have the wheels trued by a workshop when they begin to wobble."
    ),
    (
        "Nobody had lived in the house since the old woman died, yet a lamp burned in the upper window that evening. "
        "The boy stood at the gate and counted to twenty. He was not afraid, he told himself, only careful. Then the "
        'door opened, and a tall man in a grey coat came out, carrying a suitcase and a bird cage. "You are late," '
        'said the man kindly. "Take this, and mind the step; your grandfather will explain everything on the way."'
    ),
    (
        "The network cable must be plugged into the port marked with a globe, not into one of the four yellow ones. "
        "Open the address printed on the label in a browser, enter the password, and choose a name for your wireless "
        "network. If the red light keeps flashing, wait for two minutes and restart the device. Customers who move to "
        "another flat can take their number with them. Questions are answered by phone on weekdays, and by e-mail "
        "within a day."
    ),
    (
        "Steel is strong because small amounts of carbon keep the layers of iron atoms from sliding over one another. "
        "With too much carbon the metal becomes hard and brittle, as in cast iron; with too little it stays soft. "
        "Heating and sudden cooling freeze the atoms in a strained order, which is why a blade is quenched and then "
        "warmed once more. Chromium forms a thin skin of oxide that closes by itself after a scratch and protects the "
        "surface from rust."
    ),
    (
        "Voters in the northern districts decide on Sunday whether the three villages should form a single "
        "municipality. Supporters expect lower costs for roads, water and schools; opponents fear that their fire "
        "brigades and their names will disappear. Turnout is likely to be high, as the question has divided many "
        "families. Ballots can be cast by post until Friday noon. The result is binding only if a majority agrees in "
        "each of the villages, a rule which the cantonal court confirmed last year."
    ),
    (
        "Sleep comes more easily at a regular hour, in a cool and dark room, without a bright screen in the last part "
        "of the evening. Coffee in the afternoon is still in the blood at midnight. People who lie awake for longer "
        "than half an hour should get up, read something dull, and return to bed when they are tired. Most adults "
        "need seven to eight hours, but habits differ widely, and one bad night now and then does no harm."
    ),
    (
        "To sort a list of a million numbers, a program may compare them two by two, or it may drop each into a "
        "bucket by its leading digit and sort the buckets one after another. The first way works for anything that "
        "has an order; the second is faster when the keys are short. Trees keep their contents sorted while items "
        "come and go, at the price of one more pointer for every entry. Hash tables find a key at once but remember "
        "no order at all."
    ),
)
