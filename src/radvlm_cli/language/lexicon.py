"""The words of chest X-ray reports: concept -> how it is written. Lower case; a blank stands for any white space."""

from __future__ import annotations

CONCEPTS: dict[str, tuple[str, ...]] = {
    # lungs
    "opacity": (r"opacit(?:y|ies)", r"opacifications?", r"densit(?:y|ies)", r"haz(?:e|iness)", r"hazy", r"shadow(?:ing|s)?"),
    "consolidation": (r"consolidations?", r"consolidative", r"air ?space (?:disease|process)", r"airspace"),
    "infiltrate": (r"infiltrat(?:e|es|ion|ions)",),
    "pneumonia": (r"(?:broncho)?pneumonias?", r"pneumonitis", r"infectio(?:n|us)(?: process)?"),
    "aspiration": (r"aspiration",),
    "atelectasis": (r"atelecta(?:sis|ses|tic)", r"collapsed?", r"volume loss"),
    "edema": (r"o?edema", r"congesti(?:on|ve)", r"vascular (?:prominence|engorgement|redistribution)", r"chf",
              r"(?:heart|cardiac) failure", r"fluid overload", r"kerley(?: b)? lines", r"cephali[sz]ation"),
    "interstitial disease": (r"interstitial", r"reticul(?:ar|ation|onodular)", r"honeycombing"),
    "emphysema": (r"emphysema(?:tous)?", r"copd", r"chronic obstructive(?: pulmonary disease)?", r"bulla(?:e|ous)?"),
    "hyperinflation": (r"hyper ?inflat(?:ed|ion)", r"hyper ?expan(?:ded|sion)", r"hyperaerat(?:ed|ion)",
                       r"flatten(?:ed|ing)(?: of the)?(?: \w+)? (?:hemi)?diaphragms?"),
    "low lung volumes": (r"(?:low|small|decreased|reduced|diminished) (?:lung|inspiratory|\w+ lung) volumes?",
                         r"hypo ?(?:inflat(?:ed|ion)|ventilat(?:ed|ion)|expan(?:ded|sion)|aerat(?:ed|ion))",
                         r"poor inspirat\w+", r"shallow inspirat\w+"),
    "fibrosis": (r"fibro(?:sis|tic)", r"scar(?:s|ring|red)?", r"architectural distortion"),
    "bronchiectasis": (r"bronchiecta(?:sis|tic)", r"peribronchial (?:thickening|cuffing)", r"bronchial wall thickening", r"bronchitis"),
    "nodule": (r"(?:micro)?nodul(?:e|es|ar|arity)",),
    "mass": (r"mass(?:es)?(?! effect)", r"tumou?rs?", r"neoplas(?:m|ms|tic|ia)", r"malignan(?:cy|t)", r"carcinoma", r"metasta(?:sis|ses|tic)", r"lesions?"),
    "granuloma": (r"granulom(?:a|as|ata|atous)", r"histoplasmosis"),
    "cavity": (r"cavit(?:y|ies|ary|ation)",),
    "cyst": (r"cysts?", r"cystic"),
    "tuberculosis": (r"tubercul(?:osis|ous)", r"tb"),
    "sarcoidosis": (r"sarcoid(?:osis)?",),
    # pleura
    "effusion": (r"effusions?", r"pleural fluid", r"(?:hemo|hydro|hydropneumo|chylo)thora(?:x|ces)", r"costophrenic (?:angle )?blunting",
                 r"blunting of(?: the)?(?: \w+){0,4} (?:costophrenic|sulc\w+)", r"blunt(?:ed|ing)", r"empyema"),
    "pneumothorax": (r"(?:hydro)?pneumothora(?:x|ces)", r"pneumothoracies", r"ptx"),
    "pleural thickening": (r"pleural(?: \w+)? (?:thickening|plaques?)", r"apical (?:thickening|capping)", r"apical (?:pleural )?cap"),
    # heart and mediastinum
    "cardiomegaly": (r"cardiomegaly", r"cardiac enlargement", r"enlarge(?:d|ment of)(?: the)? (?:heart|cardiac|cardiomediastinal|cardiopericardial)\w*",
                     r"(?:heart|cardiac silhouette|heart size|cardiac size)(?: \w+){0,3} enlarged"),
    "pericardial effusion": (r"pericardial effusion",),
    "mediastinal widening": (r"(?:mediastin\w+|mediastinum)(?: \w+){0,3} (?:widen\w*|enlarge\w*)", r"widen(?:ed|ing)(?: of)?(?: the)?(?: superior)? mediastinum"),
    "mediastinal shift": (r"mediastinal shift", r"shift of the mediastin\w+", r"tracheal (?:deviation|shift)"),
    "hilar enlargement": (r"hilar (?:enlargement|prominence|fullness)", r"(?:prominent|enlarged|full)(?: \w+)? hil(?:a|um|ar)\b"),
    "lymphadenopathy": (r"(?:lymph)?adenopathy", r"lymph nodes?"),
    "aortic ectasia": (r"(?:tortuo(?:us|sity)|ectati?c?|ectasia|unfold(?:ed|ing)|uncoil(?:ed|ing)|dilat\w+)(?: \w+){0,3} aort(?:a|ic)",
                       r"aort(?:a|ic)(?: \w+){0,4} (?:tortuo(?:us|sity)|ecta(?:tic|sia)|unfold(?:ed|ing)|uncoil(?:ed|ing)|dilat\w+)", r"aneurysm(?:al|s)?"),
    "atherosclerosis": (r"athero(?:sclero(?:sis|tic)|matous)",),
    "calcification": (r"calcif(?:ied|ication|ications|ic)",),
    # bones, abdomen, soft tissue
    "fracture": (r"fractures?", r"fractured"),
    "degenerative change": (r"degenerative", r"spondylo(?:sis|tic)", r"osteophyt\w+", r"arthr(?:itis|itic|opathy|osis)", r"dis[ck] space narrowing", r"syndesmophytes?"),
    "scoliosis": (r"scolio(?:sis|tic)", r"kypho(?:sis|tic|scoliosis)", r"dextroscoliosis", r"levoscoliosis", r"dextrocurvature", r"levocurvature"),
    "osteopenia": (r"osteopeni[ac]", r"osteoporo(?:sis|tic)", r"deminerali[sz](?:ed|ation)"),
    "hernia": (r"herni(?:a|as|ation)",),
    "eventration": (r"eventration", r"elevat(?:ed|ion)(?: of)?(?: the)?(?: \w+)? (?:hemi)?diaphragm", r"(?:hemi)?diaphragm(?: \w+){0,2} elevat\w+"),
    "free air": (r"free (?:intraperitoneal |subdiaphragmatic )?(?:air|gas)", r"pneumoperitoneum", r"air (?:under|below|beneath)(?: \w+)* (?:hemi)?diaphragms?"),
    "subcutaneous emphysema": (r"subcutaneous (?:emphysema|air|gas)", r"soft tissue (?:air|gas)", r"pneumomediastinum"),
    "foreign body": (r"foreign bod(?:y|ies)", r"bullet", r"shrapnel"),
    # devices and surgery
    "endotracheal tube": (r"endotracheal", r"et(?:t| tube)\b", r"intubat(?:ed|ion)", r"tracheostomy(?: tube)?"),
    "enteric tube": (r"(?:naso|oro)(?:gastric|enteric)(?: tube)?", r"(?:ng|og|dobb?hoff|feeding|enteric|gastric) tube", r"ngt\b"),
    "central line": (r"picc(?: line)?", r"(?:central|venous|subclavian|jugular|ij)(?: \w+){0,2} (?:line|catheter)s?", r"port-?a-?cath", r"portacath", r"infusion port",
                     r"mediport", r"chest port", r"swan-?ganz(?: catheter)?", r"catheters?", r"cordis"),
    "chest tube": (r"chest tubes?", r"pleural (?:tube|drain|catheter)s?", r"pigtail(?: catheter)?", r"thoracostomy"),
    "pacemaker": (r"pacemakers?", r"pacer", r"aicd", r"icd\b", r"defibrillator", r"pacing (?:leads?|wires?)", r"leads?\b", r"generator"),
    "sternotomy": (r"sternotomy", r"sternal (?:wires?|sutures?)", r"cabg", r"(?:coronary artery )?bypass", r"cerclage wires?"),
    "clips": (r"(?:surgical|vascular|cholecystectomy|mediastinal) clips?", r"clips", r"suture(?:s| material| line)?", r"staples?"),
    "prosthetic valve": (r"(?:prosthetic|replaced|artificial|mechanical) (?:\w+ )?valves?", r"valve (?:replacement|prosthesis)", r"valvuloplasty", r"valvular (?:ring|prosthesis)"),
    "stent": (r"stents?",),
    "hardware": (r"hardware", r"orthopedic", r"arthroplasty", r"prosthesis", r"fixation", r"screws?", r"plates?\b", r"rods?\b"),
    "intra-aortic balloon pump": (r"balloon pump", r"iabp", r"impella", r"ecmo", r"lvad"),
}  # fmt: skip
"""Findings, from the chest inwards out."""

NORMAL: dict[str, tuple[str, tuple[str, ...]]] = {
    "normal heart": ("cardiomegaly", (
        r"(?:heart|cardiac|cardiomediastinal|cardiopericardial|mediastinal and cardiac)(?: \w+){0,5}? (?:is|are|within|appears?|remains?|of|with)?(?: \w+){0,3}? ?(?:normal|unremarkable|not enlarged)",
        r"normal(?: \w+){0,3} (?:heart|cardiac|cardiomediastinal|cardiopericardial)",
    )),
    "clear lungs": ("clear lungs", (
        r"(?:lungs?|lung fields?|lung zones?)(?: \w+){0,5}? clear", r"clear (?:bilateral |\w+ )?lungs?", r"lungs?(?: \w+){0,5}? (?:normal|unremarkable)",
        r"clear of", r"well[- ](?:expanded|inflated|aerated)",
    )),
    "normal mediastinum": ("mediastinal widening", (
        r"(?:mediastin\w+|hil(?:a|ar)|contours?)(?: \w+){0,6}? (?:normal|unremarkable)", r"normal(?: \w+){0,3} (?:mediastin\w+|hil(?:a|ar))",
    )),
    "normal bones": ("normal bones", (
        r"(?:bon(?:e|es|y)|osseous|skelet\w+|thorax|spine|ribs)(?: \w+){0,6}? (?:normal|unremarkable|intact|negative)", r"(?:no|without)(?: \w+){0,4} (?:bony|osseous|skeletal)",
    )),
    "normal chest": ("normal chest", (
        r"(?:normal|unremarkable|negative)(?: \w+){0,3} (?:chest|exam\w*|study|radiographs?)", r"chest(?: \w+){0,3} (?:normal|unremarkable|negative)",
        r"no (?:\w+ ){0,3}(?:cardiopulmonary|intrathoracic|pulmonary|thoracic) (?:\w+ )?(?:abnormalit\w+|disease|process|findings?|pathology)", r"no (?:\w+ )?(?:abnormalit\w+|findings?|disease)",
    )),
}  # fmt: skip
"""Statement that something is normal -> the concept that it denies (or is itself), and how it is written."""

IS_A: dict[str, tuple[str, ...]] = {
    "consolidation": ("opacity", "infiltrate"),
    "infiltrate": ("opacity", "consolidation"),
    "pneumonia": ("opacity", "consolidation", "infiltrate"),
    "atelectasis": ("opacity",),
    "edema": ("opacity", "interstitial disease"),
    "interstitial disease": ("opacity",),
    "aspiration": ("opacity",),
    "fibrosis": ("opacity", "interstitial disease"),
    "nodule": ("opacity", "mass"),
    "mass": ("opacity", "nodule"),
    "granuloma": ("nodule", "opacity", "calcification"),
    "effusion": ("opacity",),
    "atherosclerosis": ("calcification",),
    "pericardial effusion": ("effusion",),
    "mediastinal widening": ("cardiomegaly",),
    "cardiomegaly": ("mediastinal widening",),
    "chest tube": ("central line",),
    "pacemaker": ("central line",),
    "sternotomy": ("clips", "hardware"),
    "prosthetic valve": ("hardware",),
}
"""Concept -> wider or neighbouring ones that a faithful paraphrase may use instead."""
