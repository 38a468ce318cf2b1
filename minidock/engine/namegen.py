"""Names for containers that nobody named: an adjective and a surname, `patient_noether`.

The surnames are those of people who found something out or built something that works:
mathematicians, scientists, engineers, and the people behind the systems a container is made of.
One of nearly three hundred thousand names is rarely taken; whether it is, only symlink(2) can tell,
so the caller tries again with the number of the attempt, and from the second one on a digit is
appended.

The lists are two texts, split when a name is asked for, and chance comes straight from the kernel:
importing `random` would take longer than all the rest of making a name.

See: moby's pkg/namesgenerator (the form of the names; the lists are minidock's own)
"""

from __future__ import annotations

import os

_ADJECTIVES = """
able adept adoring agile airy alert alpine amber amiable ample amused ancient apt arctic ardent
artful artless astute atomic august aural austere autumnal avid awake aware azure balanced balmy
bashful beaming beloved benign blissful blithe blooming bold bonny bouncy boundless brainy brave
breezy bright brisk bubbly buoyant busy calm candid capable carefree careful caring casual cautious
celestial chatty cheerful cheery chilled chipper chirpy chivalrous civil classic clean clear clever
coastal cogent cohesive colourful comfy compact composed concise confident content convex cool coral
cordial cosmic cosy courteous crafty crimson crisp cunning curious curly cyan dainty dapper daring
dashing dauntless dazzling dear decent deft delicate deluxe determined devoted dewy diligent
discreet distant dogged dreamy driven dulcet dutiful dynamic eager early earnest earthy easy
ebullient eclectic ecstatic effusive elastic elated electric elegant eloquent emerald eminent
enchanted endearing endless energetic epic equable erudite eternal ethereal euphoric exact excited
exotic expert exuberant fabled fair faithful famous fancy fearless fervent festive fiery fine fit
flaxen fleet flexible floral fluent fluffy flying focused fond formal fortunate frank free fresh
friendly frosty frugal functional funny gallant generous genial gentle genuine giddy gifted gilded
glad gleaming glowing golden good graceful gracious grand grateful great gregarious groovy grounded
handy happy hardy harmonic hasty hazel hearty helpful hidden honest hopeful humble humming hungry
idle inky inspired intent intrepid inventive iridescent ivory jaunty jazzy jolly jovial joyful
jubilant just keen kind kindly laconic lasting latent laughing leafy learned lenient level light
lilac limber limpid lithe lively logical lone loud loving loyal lucid lucky luminous lunar lush
lyrical magenta magical majestic marine mellow melodic merry meteoric mighty mild mindful mineral
minty misty modest modular moonlit mossy musical musing mystic native natural neat nifty nimble
noble nocturnal nostalgic notable novel oaken obliging observant oceanic open optimal opulent
orbital orderly organic original ornate outgoing pacific parallel pastel patient peaceful pearly
pensive peppy perky pithy placid playful pleasant plucky poetic poised polar polished polite
practical precise prime pristine prompt proud prudent punctual quaint quick quiet quirky quizzical
radiant rapid rational ready refined reflective regal relaxed reliable resolute restful reverent
rhythmic robust romantic rooted rosy roving ruby rugged rustic saffron sage sandy sanguine savvy
scarlet scenic scholarly secure sedate sensible serene sharp shimmering shiny silent silken silver
simple sincere sleek sleepy smart smiling smooth snappy snowy snug sociable solar solid sonic
soulful spare sparkling spirited splendid sprightly spry starry static steadfast steady stellar
stoic strong studious sturdy suave sublime subtle summery sunlit sunny sweet swift sylvan talented
tame tangible tender thankful thorough thoughtful thrifty tidal tidy timely tireless tolerant
tranquil trim trusting trusty truthful twilight unique upbeat upright urbane valiant vast velvet
verdant versed vibrant vigilant vigorous vintage violet vivid vocal wandering warm watchful
whimsical whole wily winsome wintry wise wistful witty wizardly wonderful wondrous woven youthful
zealous zen zesty zippy
"""

_SURNAMES = """
abel adleman agnesi aiken airy alembert alexander alhazen allen ampere anderson angstrom anning
antonelli apgar appel archimedes aristarchus armstrong arrhenius artin aryabhata asimov atanasoff
atiyah avicenna avogadro ayrton babbage bacon baird bairstow banach banks banneker bardeen barrow
bartik basov bassi bateson bayes beaufort becquerel bell bellman benz bernerslee bernoulli bertozzi
bessel bessemer bhabha bhaskara birkhoff black blackburn blackwell bloch blum bode bohr boltzmann
bolyai bolzano boole borg borlaug born bose boyd boyer boyle brahe brahmagupta braille brattain
brooks brouwer brown brunel buck bunsen burnell bush calvin cannon cantor cardano carlson carnot
carson cartan carver cassini cauchy cavendish cayley celsius cerf chandrasekhar chargaff charpentier
chatelet chebyshev cheriton church clairaut clarke clausius codd cohen cohn colmar compton conway
cook copernicus corbato cori coriolis coulomb courant cox cray crick curie cutler cuvier daguerre
dahl daimler dalton darwin davies davinci davisson davy debye dedekind deligne democritus denning
descartes dewar diesel diffie dijkstra diophantus dirac dirichlet doppler doudna drake draper
driscoll dyson easley eckert eddington edison ehrenfest ehrlich einstein elbakyan elion ellis
engelbart eratosthenes erdos erlang ermolova ernst essen euclid eudoxus euler faggin fano faraday
feigenbaum feinler fermat fermi feynman fibonacci fischer fisher fizeau fleming florey floyd
forrester foucault fourier franklin fraunhofer frege fresnel friedman frobenius fulton gabor galileo
galle galois galvani gamow gates gauss geiger gelfand germain ghez gibbs gilbert glushkov godel
goeppert goldberg goldstine golomb goodall gosling gosper grace granville gray green grothendieck
gutenberg haar hadamard hahn haibt hale halley hamilton hamming hardy harrison hartree harvey
hausdorff havel hawking haynes heaviside heisenberg hellman helmholtz henry herbrand hermite hero
herschel hertz hesse hevelius hewish heyrovsky higgs hilbert hinton hipparchus hoare hodgkin
hollerith hooke hopcroft hopper horner hoyle hubble huffman huggins humboldt hutton huxley huygens
hypatia ibuka ingenhousz irwin iverson jackson jacobi jacquard jemison jenner jennings jepsen
johnson joliot jones jordan joule kahan kahn kaluza kapitza karp karpinski kay keldysh kelvin kepler
kernighan khayyam khorana khwarizmi kilburn kilby kirch kirchhoff klein knuth koch kolmogorov
korolev kovalevskaya krebs kronecker kummer kurtz ladyzhenskaya lagrange lalande lamarck lamarr
lambert lamport landau langevin laplace larmor lavoisier lawrence leavitt lebedev lebesgue lederberg
leeuwenhoek legendre lehmann lehmer leibniz lemaitre levi levy lewis lie liebig lindelof lindemann
linnaeus liouville lippmann liskov lister lobachevsky lonsdale lorentz lorenz lovelace lovell lowell
lumiere lyapunov lyell mach maclaurin madhava malpighi mandelbrot marconi margulis markov maskelyne
mauchly maupertuis maury maxwell mayer mcbride mccarthy mcclintock mcilroy mclean mcmillan mcnulty
mead meitner mendel mendeleev menger mercator mersenne meyer michelson millikan milner minkowski
minsky mirzakhani mitchell moebius moivre monge moore mordell morse moser moss napier nash naur
navier nernst neumann newell newton nightingale nobel noether noyce nyberg nygaard nyquist oberth
ockham oersted ohm oort oppenheimer ostwald otto pacioli panini papert papin pappus parsons pascal
pasteur pauli pauling payne peano peirce perlis perlman perrin planck plateau poincare poisson polya
poncelet popov pouzin prandtl priestley proskouriakova ptolemy pythagoras quetelet quine rabin raman
ramanujan rankine ray rayleigh reaumur regnault rhodes ride riemann ritchie ritt robinson roemer
roentgen rossum rubin russell rutherford sabin sagan salk saltzer sammet sanderson sanger scheele
schrodinger schwartz schwinger seaborg seebeck shamir shannon shaw shirley siemens sierpinski
sinoussi sklodowska skolem snell snow snyder solvay somerville sommerfeld spence stallman steinmetz
stevin stibitz stirling stokes stonebraker strachey strassen strowger sutherland swanson swartz
swirles sylvester szilard tarjan tarski tartaglia taussig taylor telford tesla thales tharp theon
thompson thomson torricelli torvalds townes trevithick tsiolkovsky tu turing tyndall ulam urey
valiant vallarta varahamihira vaughan vavilov venn verne vesalius viete villani vinge volta volterra
wallace wallis watt weaver weber wegener weierstrass weil weizenbaum wescoff weyl wheatstone wheeler
whipple whitehead whitney wiener wigner wiles wilkes wilkinson williams williamson wilson wing wirth
witten wolf wozniak wright wu yalow yang yao yonath young yukawa zassenhaus zeeman zermelo zernike
zhang zhukovsky zuse zworykin
"""


def generate_name(attempt: int) -> str:
    """A name such as `tireless_hopper`; with `attempt` above 0 one digit more (`tireless_hopper7`).

    Always matches Docker's grammar of container names. It may be taken already.
    """
    adjectives, surnames = _ADJECTIVES.split(), _SURNAMES.split()
    chance = int.from_bytes(os.urandom(8), "little")  # far more than needed: no name is favoured
    chance, adjective = divmod(chance, len(adjectives))
    chance, surname = divmod(chance, len(surnames))
    digit = str(chance % 10) if attempt > 0 else ""
    return f"{adjectives[adjective]}_{surnames[surname]}{digit}"
