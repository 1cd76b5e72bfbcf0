"""The same three sentences in many scripts, to see what a tokenizer makes of each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """A text in one script. `words` says whether spaces part its words."""

    script: str
    language: str
    text: str
    words: bool = True


SAMPLES = (
    Sample(
        "Latin",
        "English",
        "A small boat left the harbour at dawn. The sea was calm, and the fisherman sang an old"
        " song. When the sun rose, he cast his net and waited.",
    ),
    Sample(
        "Latin",
        "German",
        "Im Morgengrauen verließ ein kleines Boot den Hafen. Das Meer war ruhig, und der Fischer"
        " sang ein altes Lied. Als die Sonne aufging, warf er sein Netz aus und wartete.",
    ),
    Sample(
        "Cyrillic",
        "Russian",
        "На рассвете маленькая лодка вышла из гавани. Море было спокойным, и рыбак пел старую"
        " песню. Когда взошло солнце, он забросил сеть и стал ждать.",
    ),
    Sample(
        "Greek",
        "Greek",
        "Την αυγή μια μικρή βάρκα έφυγε από το λιμάνι. Η θάλασσα ήταν ήρεμη και ο ψαράς"
        " τραγουδούσε ένα παλιό τραγούδι. Όταν ανέτειλε ο ήλιος, έριξε το δίχτυ του και περίμενε.",
    ),
    Sample(
        "Arabic",
        "Arabic",
        "عند الفجر غادر قارب صغير الميناء. كان البحر هادئا، وكان الصياد يغني أغنية قديمة. ولما"
        " أشرقت الشمس ألقى شبكته وانتظر.",
    ),
    Sample(
        "Hebrew",
        "Hebrew",
        "עם שחר יצאה סירה קטנה מן הנמל. הים היה רגוע, והדייג שר שיר ישן. כשזרחה השמש הוא השליך"
        " את רשתו והמתין.",
    ),
    Sample(
        "Devanagari",
        "Hindi",
        "भोर में एक छोटी नाव बंदरगाह से निकली। समुद्र शांत था और मछुआरा एक पुराना गीत गा रहा था।"
        " जब सूरज निकला, तो उसने अपना जाल डाला और इंतज़ार किया।",
    ),
    Sample(
        "Hangul",
        "Korean",
        "새벽에 작은 배 한 척이 항구를 떠났다. 바다는 잔잔했고 어부는 옛 노래를 불렀다. 해가 뜨자"
        " 그는 그물을 던지고 기다렸다.",
    ),
    Sample(
        "Han",
        "Chinese",
        "黎明时分，一只小船离开了港口。大海很平静，渔夫唱着一首古老的歌。太阳升起时，他撒下渔网，"
        "静静地等待。",
        words=False,
    ),
    Sample(
        "Kana and Han",
        "Japanese",
        "夜明けに小さな船が港を出た。海は穏やかで、漁師は古い歌を歌っていた。太陽が昇ると、彼は網を"
        "投げて待った。",
        words=False,
    ),
    Sample(
        "Thai",
        "Thai",
        "ยามรุ่งสางเรือลำเล็กออกจากท่าเรือ ทะเลสงบ ชาวประมงร้องเพลงเก่าเพลงหนึ่ง"
        " เมื่อพระอาทิตย์ขึ้น เขาเหวี่ยงแหแล้วรอ",
        words=False,
    ),
    Sample(
        "Code",
        "Python",
        "def wait(net, *, hours=3):\n    for hour in range(hours):\n        if net.full:\n"
        '            return net.haul()\n    raise TimeoutError(f"nothing in {hours} hours")\n',
    ),
)
